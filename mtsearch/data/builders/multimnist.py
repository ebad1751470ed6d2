"""MultiMNIST (Sener and Koltun 2018, after Sabour et al. 2017): two overlapping digits, with one
task each.

Every digit of a split is the left one once; its partner is drawn from the same split, so that no
digit of val occurs in train. (The published loaders draw unseeded partners before the split, which
leaks.)
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput
from mtsearch.data.builders.base import (
    DatasetBuilder,
    SplitArrays,
    SplitSpec,
    dataset_builder,
    need_tasks,
)
from mtsearch.data.formats import ImageSet, LabelledImages
from mtsearch.data.sources import ImageSource, read_train_test
from mtsearch.data.splits import split_indices, stream

DIGIT, SHIFT, CANVAS = 28, 6, 36


@dataset_builder("multimnist")
class MultiMnist(DatasetBuilder):
    """The left digit at rows and columns 0-27 of a 36x36 canvas, the right one at 6-33, with the
    pixelwise maximum where they overlap, scaled to 28x28."""

    kind: Literal["multimnist"] = "multimnist"
    digits: ImageSource
    partner_seed: int = 0

    def compose(
        self, card: DatasetCard, found: dict[str, LabelledImages], spec: SplitSpec
    ) -> dict[str, SplitArrays]:
        need_tasks(card, 2)
        if card.shape != (1, DIGIT, DIGIT):
            raise BadInput(
                f"The data card of `{card.name}` should have shape (1, {DIGIT}, {DIGIT}), the shape"
                f" of MultiMNIST. Found {card.shape}."
            )
        pool, test = read_train_test(
            found["digits"], self.digits, card.shape, card.tasks[0].classes
        )
        train, val = split_indices(pool.labels, spec.val_fraction, spec.seed, pool.groups)
        parts = {"train": pool.take(train), "val": pool.take(val), "test": test}
        # One random stream per split, so that the test split does not depend on the others.
        return {
            name: _pair(part, stream(self.partner_seed, number))
            for number, (name, part) in enumerate(parts.items())
        }


def _pair(digits: ImageSet, random: np.random.RandomState) -> SplitArrays:
    partner = random.randint(0, len(digits), size=len(digits))
    images = np.empty((len(digits), 1, DIGIT, DIGIT), np.uint8)
    flat = digits.pixels[..., 0]
    # In pieces, because the canvases of 60,000 pairs need a gigabyte.
    for start in range(0, len(digits), 4096):
        piece = slice(start, start + 4096)
        images[piece, 0] = shrink(overlay(flat[piece], flat[partner[piece]]))
    return SplitArrays(images, (digits.labels, digits.labels[partner]))


def overlay(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Canvases (N, 36, 36) of left and right digits (N, 28, 28); rows and columns 34 and 35 stay
    empty."""
    canvas = np.zeros((len(left), CANVAS, CANVAS), np.uint8)
    canvas[:, :DIGIT, :DIGIT] = left
    corner = canvas[:, SHIFT : SHIFT + DIGIT, SHIFT : SHIFT + DIGIT]
    np.maximum(corner, right, out=corner)
    return canvas


def shrink(canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bilinear scaling (N, 36, 36) -> (N, 28, 28) with pixel centres aligned, rounded half up.

    All weights are multiples of 1/14, so the arithmetic is in integers and gives the same bytes on
    every machine.
    """
    # (i + 1/2) * 36/28 - 1/2 = (18 i + 2) / 14.
    first, upper = np.divmod(18 * np.arange(DIGIT, dtype=np.uint16) + 2, 14)
    lower = (14 - upper).astype(np.uint16)
    upper = upper.astype(np.uint16)
    wide = canvas.astype(np.uint16)
    rows = wide[:, first] * lower[:, None] + wide[:, first + 1] * upper[:, None]  # at most 255 * 14
    both = rows[:, :, first] * lower + rows[:, :, first + 1] * upper  # at most 255 * 196 < 2**16
    return ((both + np.uint16(98)) // np.uint16(196)).astype(np.uint8)
