"""Images and labels of one shape made to be of another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mtsearch.config.errors import BadInput

_MODES = {1: "L", 3: "RGB"}


def fit_images(images: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Images (N, c, h, w) in the shape (C, H, W): grey repeated to three channels, colour turned to
    luma, scaled by Pillow's bilinear filter, which averages when it makes smaller. Raises
    `BadInput` for other numbers of channels.
    """
    if images.shape[1:] == shape:
        return images
    channels, height, width = shape
    if images.shape[1] not in _MODES or channels not in _MODES:
        raise BadInput(
            "Images of different shapes are fitted to each other with 1 or 3 channels. Found"
            f" {images.shape[1]} and {channels}."
        )
    out = np.empty((len(images), *shape), np.uint8)
    for place, image in zip(out, images, strict=True):
        picture = Image.fromarray(
            image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
        ).convert(_MODES[channels])
        pixels = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
        place[:] = pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
    return out


def fit_labels(labels: NDArray[Any], old: tuple[int, ...], new: tuple[int, ...]) -> NDArray[Any]:
    """Labels (N, ..., h, w), one per pixel of images of size ``old``, at the nearest pixels of size
    ``new``; others as they are."""
    if old == new or labels.ndim < 3 or labels.shape[-2:] != tuple(old):
        return labels
    rows, columns = ((np.arange(n) * 2 + 1) * o // (2 * n) for o, n in zip(old, new, strict=True))
    return np.ascontiguousarray(labels[..., rows[:, None], columns])
