"""Augmentation of whole batches on their device.

Rotation and zoom (nearest neighbour), crop after zero padding and horizontal flip only move pixels,
so one gather does all of them: each pixel of the result has one source pixel, or lies outside the
image. All random numbers come from one generator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mtsearch.config.schema import Augment
from mtsearch.data.devices import to_device

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class Move:
    """The augmentation of each of B examples: a flip, then a rotation, then a crop.

    Attributes:
        flip: bool (B,), horizontal.
        angle: (B,), radians, counter-clockwise about the centre.
        offset: (B, 2), rows and columns in pixels.
        crop: (B, 3) with zoom, else None: side of the crop as a share of the image's, and its
            position, rows and columns in -1..1 from edge to edge.
        light: (B, 2), factors of contrast and brightness; None for none.
    """

    flip: Tensor
    angle: Tensor
    offset: Tensor
    crop: Tensor | None = None
    light: Tensor | None = None

    def part(self, part: slice) -> Move:
        """The augmentation of some of the examples."""
        some = (None if values is None else values[part] for values in (self.crop, self.light))
        return Move(self.flip[part], self.angle[part], self.offset[part], *some)

    def to(self, device: torch.device) -> Move:
        """The augmentation on a device."""
        flip, angle, offset = (to_device(v, device) for v in (self.flip, self.angle, self.offset))
        crop, light = (v if v is None else to_device(v, device) for v in (self.crop, self.light))
        return Move(flip, angle, offset, crop, light)


def is_active(augment: Augment | None) -> bool:
    """Whether any part of the augmentation is switched on."""
    return augment is not None and augment != Augment()


def draw(augment: Augment, count: int, generator: torch.Generator) -> Move:
    """Draw the augmentation of ``count`` examples on the generator's device. A part that is
    switched off draws no numbers."""
    device = generator.device
    flip = torch.zeros(count, dtype=torch.bool, device=device)
    angle = torch.zeros(count, device=device)
    offset = torch.zeros(count, 2, device=device)
    if augment.flip:
        flip = torch.rand(count, generator=generator, device=device) < 0.5
    if augment.rotation:
        angle = torch.deg2rad(
            (2 * torch.rand(count, generator=generator, device=device) - 1) * augment.rotation
        )
    if augment.crop:
        offset = torch.randint(
            -augment.crop, augment.crop + 1, (count, 2), generator=generator, device=device
        ).float()
    if augment.quarter_turns:
        angle = angle + torch.randint(4, (count,), generator=generator, device=device) * (
            math.pi / 2
        )
    crop = light = None
    if augment.zoom:
        crop = 2 * torch.rand(count, 3, generator=generator, device=device) - 1
        crop[:, 0] = 1 - augment.zoom * (crop[:, 0] + 1) / 2
    if augment.light:
        light = 1 + augment.light * (
            2 * torch.rand(count, 2, generator=generator, device=device) - 1
        )
    return Move(flip, angle, offset, crop, light)


def source_pixels(move: Move, height: int, width: int) -> Tensor:
    """The source pixel of each pixel of a moved image: index (B, H*W), int64, into the flat source
    with a border of one pixel around it, (H+2)*(W+2).

    Pixels from outside map to the border. This includes pixels that the crop takes from beyond the
    rotated frame, as in padding followed by a crop.
    """
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    device = move.angle.device
    # Relative to the centre.
    rows = torch.arange(height, device=device) - middle_y
    columns = torch.arange(width, device=device) - middle_x
    if move.crop is not None:
        side, down, right = move.crop[:, :1], move.crop[:, 1:2], move.crop[:, 2:]
        rows, columns = (
            side * rows + (1 - side) * middle_y * down,
            side * columns + (1 - side) * middle_x * right,
        )
    rows, columns = rows + move.offset[:, :1], columns + move.offset[:, 1:]  # (B, H), (B, W)
    cosine, sine = move.angle.cos()[:, None], move.angle.sin()[:, None]
    mirror = torch.where(move.flip, -1.0, 1.0)[:, None]
    # A row or column beyond the frame gets an infinite coordinate, so that it maps to the border
    # for every rotation.
    down = (cosine * rows + middle_y + 1).masked_fill(rows.abs() > middle_y, torch.inf)
    right = (mirror * cosine * columns + middle_x + 1).masked_fill(
        columns.abs() > middle_x, torch.inf
    )
    # Outer sums of the terms of rows and columns: only operations that cannot be done on B*(H+W)
    # values are done on B*H*W values.
    y = (down[:, :, None] + (sine * columns)[:, None, :]).round_().clamp_(0, height + 1)
    x = (right[:, None, :] - (mirror * sine * rows)[:, :, None]).round_().clamp_(0, width + 1)
    return y.mul_(width + 2).add_(x).long().flatten(1)


def adjust_light_(values: Tensor, light: Tensor) -> Tensor:
    """Scale the contrast of pixels (B, n) in 0..255 about their mean and then their brightness by
    ``light`` (B, 2), in place."""
    mean = values.mean(1, keepdim=True)
    return values.sub_(mean).mul_(light[:, :1]).add_(mean).mul_(light[:, 1:]).clamp_(0, 255)


def with_border(values: Tensor, fill: float = 0) -> Tensor:
    """(..., H, W) -> (..., (H+2)*(W+2)), with a border of ``fill``."""
    return torch.nn.functional.pad(values, (1, 1, 1, 1), value=fill).flatten(-2)


def pack(images: Tensor) -> list[Tensor]:
    """Pack uint8 (N, C, H, W) into words (N, (H+2)*(W+2)) with a border of zeros. A word is an
    integer with up to 8 channels of a pixel, so that one access moves all of them."""
    size = next((size for size in _INTEGERS if size >= images.shape[1]), 8)
    words = []
    for part in images.split(size, dim=1):
        pixels = torch.zeros(
            len(images),
            (images.shape[2] + 2) * (images.shape[3] + 2),
            size,
            dtype=torch.uint8,
            device=images.device,
        )
        for channel in range(part.shape[1]):
            pixels[..., channel] = with_border(part[:, channel])
        words.append(pixels.view(_INTEGERS[size])[..., 0])
    return words


def unpack(words: list[Tensor], out: Tensor) -> None:
    """Write the channels of words (B, P) to ``out`` (B, C, P), of any type and strides."""
    size = words[0].element_size()
    # One strided copy per channel is four times faster than copying pixel by pixel.
    for channel in range(out.shape[1]):
        pixels = words[channel // size].view(torch.uint8).view(*words[0].shape, size)
        out[:, channel].copy_(pixels[..., channel % size])
