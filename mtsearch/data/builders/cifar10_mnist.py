"""Cifar10Mnist (Hotegni et al. 2024): a digit blended over a colour image; the tasks are the class
of the image and the digit."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput
from mtsearch.data.builders.base import (
    DatasetBuilder,
    SplitArrays,
    SplitSpec,
    channels_first,
    dataset_builder,
    need_tasks,
)
from mtsearch.data.formats import ImageSet, LabelledImages
from mtsearch.data.sources import ImageSource, read_train_test
from mtsearch.data.splits import split_indices


@dataset_builder("cifar10_mnist")
class Cifar10Mnist(DatasetBuilder):
    """Image i and digit i of the same official split form example i, so that no digit is used
    twice; digits beyond the last image are left out."""

    kind: Literal["cifar10_mnist"] = "cifar10_mnist"
    images: ImageSource
    digits: ImageSource

    def compose(
        self, card: DatasetCard, found: dict[str, LabelledImages], spec: SplitSpec
    ) -> dict[str, SplitArrays]:
        need_tasks(card, 2)
        pool, test = read_train_test(
            found["images"], self.images, card.image_shape, card.tasks[0].classes
        )
        pool_digits, test_digits = read_train_test(
            found["digits"], self.digits, (1, 28, 28), card.tasks[1].classes, salt="digits"
        )
        composed_pool, composed_test = (
            _compose(card, pool, pool_digits),
            _compose(card, test, test_digits),
        )
        train, val = split_indices(pool.labels, spec.val_fraction, spec.seed, pool.groups)
        return {
            "train": _take(composed_pool, train),
            "val": _take(composed_pool, val),
            "test": composed_test,
        }


def _compose(card: DatasetCard, images: ImageSet, digits: ImageSet) -> SplitArrays:
    count = len(images)
    if len(digits) < count:
        raise BadInput(
            f"`{card.name}` needs as many digits as images in each split. Found {len(digits)}"
            f" digits for {count} images; complete the digits."
        )
    height, width = images.pixels.shape[1:3]
    blended = blend(images.pixels, enlarge(digits.pixels[:count, ..., 0], height, width))
    return SplitArrays(channels_first(blended), (images.labels, digits.labels[:count]))


def _take(arrays: SplitArrays, index: NDArray[np.int64]) -> SplitArrays:
    return SplitArrays(arrays.images[index], tuple(labels[index] for labels in arrays.labels))


def enlarge(digits: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Scale digits (N, h, w) to (N, height, width) with Pillow's bicubic filter, which computes in
    integers."""
    out = np.empty((len(digits), height, width), np.uint8)
    for place, digit in zip(out, digits, strict=True):
        place[:] = np.asarray(
            Image.fromarray(digit).resize((width, height), Image.Resampling.BICUBIC)
        )
    return out


def blend(images: NDArray[np.uint8], digits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blend images (N, H, W, C) with digits (N, H, W): (128 d + 127 c) / 255, rounded, in every
    channel c where d > 0; pixels with d = 0 are unchanged."""
    out = images.copy()
    ink = digits > 0
    pixels = out[ink].astype(np.uint32)
    out[ink] = (2 * (128 * digits[ink].astype(np.uint32)[:, None] + 127 * pixels) + 255) // 510
    return out
