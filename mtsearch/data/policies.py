"""RandAugment on batches of images, by the functions of torchvision's transforms.v2.

torchvision takes a second and 150 MB to import, so that it is imported when it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mtsearch.config.augmentation import RandAugment

BINS = 30  # the largest magnitude
Operation = Callable[[Tensor, float, float], Tensor]
"""(images (B, C, H, W), magnitude in [0, 1], sign) -> images."""


def _transforms() -> Any:
    return importlib.import_module("torchvision.transforms.v2.functional")


def _shear(axis: int) -> Operation:
    def operation(x: Tensor, m: float, sign: float) -> Tensor:
        shear = [0.0, 0.0]
        shear[axis] = sign * float(torch.rad2deg(torch.atan(torch.tensor(0.3 * m))))
        return _transforms().affine(
            x, angle=0.0, translate=[0, 0], scale=1.0, shear=shear, center=[0, 0]
        )

    return operation


def _translate(axis: int) -> Operation:
    def operation(x: Tensor, m: float, sign: float) -> Tensor:
        move = [0, 0]
        move[axis] = int(sign * 150 / 331 * m * x.shape[-1 - axis])
        return _transforms().affine(x, angle=0.0, translate=move, scale=1.0, shear=[0.0, 0.0])

    return operation


_GEOMETRIC: dict[str, Operation] = {
    "shear_x": _shear(0),
    "shear_y": _shear(1),
    "translate_x": _translate(0),
    "translate_y": _translate(1),
    "rotate": lambda x, m, sign: _transforms().rotate(x, sign * 30 * m),
}
_COLOURS: dict[str, Operation] = {
    "identity": lambda x, m, sign: x,
    "brightness": lambda x, m, sign: _transforms().adjust_brightness(x, 1 + sign * 0.9 * m),
    "colour": lambda x, m, sign: _transforms().adjust_saturation(x, 1 + sign * 0.9 * m),
    "contrast": lambda x, m, sign: _transforms().adjust_contrast(x, 1 + sign * 0.9 * m),
    "sharpness": lambda x, m, sign: _transforms().adjust_sharpness(x, 1 + sign * 0.9 * m),
    "posterize": lambda x, m, sign: _transforms().posterize(x, 8 - round(4 * m)),
    "solarize": lambda x, m, sign: _transforms().solarize(x, 255 * (1 - m)),
    "autocontrast": lambda x, m, sign: _transforms().autocontrast(x),
    "equalize": lambda x, m, sign: _transforms().equalize(x),
}
_SIGNED = {*_GEOMETRIC, "brightness", "colour", "contrast", "sharpness"}


def operations(settings: RandAugment) -> dict[str, Operation]:
    """The operations that are drawn from, by name."""
    return {**_COLOURS, **(_GEOMETRIC if settings.geometric else {})}


def rand_augment(images: Tensor, settings: RandAugment, numbers: Tensor) -> Tensor:
    """Apply `settings.ops` operations to each image, one after the other, with the magnitude of
    `settings` (Cubuk et al. 2020, NeurIPS, arXiv 1909.13719).

    Args:
        images: uint8 (B, C, H, W), C 1 or 3.
        settings: number and magnitude of the operations.
        numbers: (B, ops, 2) in [0, 1); they choose the operation and the sign of its magnitude.

    Returns:
        uint8 (B, C, H, W). An image's result does not depend on the others.
    """
    chosen = operations(settings)
    names, magnitude = list(chosen), settings.magnitude / BINS
    which = (numbers[..., 0] * len(names)).long()
    negative = numbers[..., 1] < 0.5
    out = images.clone(memory_format=torch.contiguous_format)
    for step in range(settings.ops):
        for k, name in enumerate(names):
            for sign in (1.0, -1.0) if name in _SIGNED else (0.0,):
                rows = which[:, step] == k
                if sign:
                    rows &= negative[:, step] == (sign < 0)
                place = rows.nonzero().flatten().to(images.device)
                if len(place) and name != "identity":
                    out[place] = chosen[name](out[place], magnitude, sign)
    return out
