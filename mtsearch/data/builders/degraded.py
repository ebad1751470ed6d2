"""Degraded images, with the original images as restoration targets."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator

from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput
from mtsearch.data.builders.base import (
    DatasetBuilder,
    SplitArrays,
    SplitSpec,
    channels_first,
    dataset_builder,
)
from mtsearch.data.builders.fitting import fit_images
from mtsearch.data.formats import LabelledImages
from mtsearch.data.sources import ImageSource, read_train_test
from mtsearch.data.splits import split_indices, stream


@dataset_builder("degraded")
class Degraded(DatasetBuilder):
    """The inputs are degraded images; the label of every task is the original image, as bytes. A
    single channel is luma, Y.

    ``how: denoise`` adds Gaussian noise of standard deviation `sigma` in grey levels (of 255),
    drawn once per image from `seed`. ``how: super_resolution`` scales images down by `factor` and
    up again with Pillow's bicubic filter (a = -1/2, which averages when scaling down, like
    MATLAB's) and rounds to whole grey levels in between: the input of VDSR.
    """

    kind: Literal["degraded"] = "degraded"
    images: ImageSource
    how: Literal["denoise", "super_resolution"]
    sigma: float | None = Field(None, gt=0)
    seed: int = Field(0, ge=0)
    factor: int | None = Field(None, ge=2)

    @model_validator(mode="after")
    def _check_settings(self) -> Degraded:
        wanted, other = ("sigma", "factor") if self.how == "denoise" else ("factor", "sigma")
        if getattr(self, wanted) is None or getattr(self, other) is not None:
            raise ValueError(f"`how: {self.how}` should have `{wanted}` and no `{other}`")
        if self.how != "denoise" and "seed" in self.model_fields_set:
            raise ValueError(f"`how: {self.how}` does not use `seed`. Leave it out")
        return self

    def compose(
        self, card: DatasetCard, found: dict[str, LabelledImages], spec: SplitSpec
    ) -> dict[str, SplitArrays]:
        self._check(card)
        parts = read_train_test(found["images"], self.images, card.image_shape, ())
        pool, test = (fit_images(channels_first(part.pixels), card.image_shape) for part in parts)
        train, val = split_indices(parts[0].labels, spec.val_fraction, spec.seed, parts[0].groups)
        # Degraded before the split, so that the noise of an image does not depend on the split.
        worse, worse_test = (
            self._degrade(images, number) for number, images in enumerate((pool, test))
        )
        count = len(card.tasks)
        return {
            "train": SplitArrays(worse[train], (pool[train],) * count),
            "val": SplitArrays(worse[val], (pool[val],) * count),
            "test": SplitArrays(worse_test, (test,) * count),
        }

    def _check(self, card: DatasetCard) -> None:
        channels, height, width = card.image_shape
        for task in card.tasks:
            if task.kind != "restoration" or task.outputs != channels:
                raise BadInput(
                    f"The task `{task.name}` of `{card.name}` should be a restoration with"
                    f" {channels} output(s), one per channel. Found a {task.kind} with"
                    f" {task.outputs}."
                )
        if self.factor is not None and (height % self.factor or width % self.factor):
            raise BadInput(
                f"The shape of `{card.name}` should be a multiple of `factor: {self.factor}`. Found"
                f" {height}x{width}."
            )

    def _degrade(self, images: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
        if self.factor is not None:
            return coarsened(images, self.factor)
        assert self.sigma is not None
        return noisy(images, self.sigma, stream(self.seed, number))


def noisy(
    images: NDArray[np.uint8], sigma: float, random: np.random.RandomState
) -> NDArray[np.uint8]:
    """Add Gaussian noise of standard deviation ``sigma`` grey levels; the result is rounded and
    clipped to 0..255."""
    out = np.empty_like(images)
    for place, image in zip(out, images, strict=True):
        place[:] = np.clip(np.rint(image + sigma * random.standard_normal(image.shape)), 0, 255)
    return out


def coarsened(images: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Images (N, C, H, W) scaled down by ``factor`` and up again, which removes detail."""
    height, width = images.shape[2:]
    small = (width // factor, height // factor)
    out = np.empty_like(images)
    for place, channel in zip(
        out.reshape(-1, height, width), images.reshape(-1, height, width), strict=True
    ):
        picture = Image.fromarray(channel).resize(small, Image.Resampling.BICUBIC)
        place[:] = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))
    return out
