"""Conversion of images and labels to another shape."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mtsearch.config.errors import BadInput

_MODES = {1: "L", 3: "RGB"}


def fit_images(images: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Convert images (N, c, h, w) to the shape (C, H, W): grey is repeated to three channels,
    colour is converted to luma, and sizes are scaled with Pillow's bilinear filter, which averages
    when scaling down.

    Raises:
        BadInput: other numbers of channels.
    """
    if images.shape[1:] == shape:
        return images
    channels, height, width = shape
    if images.shape[1] not in _MODES or channels not in _MODES:
        raise BadInput(
            "Images can be converted between 1 and 3 channels only. Found"
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
    """Labels (N, ..., h, w), one per pixel of images of size ``old``, sampled at the nearest pixels
    of size ``new``; other labels are unchanged."""
    if old == new or labels.ndim < 3 or labels.shape[-2:] != tuple(old):
        return labels
    rows, columns = ((np.arange(n) * 2 + 1) * o // (2 * n) for o, n in zip(old, new, strict=True))
    return np.ascontiguousarray(labels[..., rows[:, None], columns])
