"""Augmentation of whole batches on their device.

Rotation (nearest neighbour), crop after zero padding and horizontal flip only move pixels, so the three are one gather: for each pixel of the result, which
pixel of the source it is, and whether it lies inside at all. All random numbers come from one generator.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mtsearch.config.schema import Augment


@dataclass(frozen=True)
class Move:
    """Per example (B,): angle in radians, counter-clockwise; offset of the crop in pixels, rows and columns (B, 2); whether it is mirrored."""

    angle: Tensor
    offset: Tensor
    flip: Tensor


def draw(augment: Augment, count: int, generator: torch.Generator) -> Move:
    """Random moves for ``count`` examples, drawn on the generator's device. A part that is switched off draws nothing."""
    device = generator.device
    angle, offset, flip = (
        torch.zeros(count, device=device),
        torch.zeros(count, 2, device=device),
        torch.zeros(count, dtype=torch.bool, device=device),
    )
    if augment.rotation:
        angle = torch.deg2rad((2 * torch.rand(count, generator=generator, device=device) - 1) * augment.rotation)
    if augment.crop:
        offset = torch.randint(-augment.crop, augment.crop + 1, (count, 2), generator=generator, device=device).float()
    if augment.flip:
        flip = torch.rand(count, generator=generator, device=device) < 0.5
    return Move(angle, offset, flip)


def source_pixels(move: Move, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where each pixel of a moved image comes from: index (B, H*W) int64 into the flat source, and whether it is inside (B, H*W) bool.

    The image is mirrored, then rotated about its centre, then cropped at the offset; what lies outside has an index of 0.
    """
    device = move.angle.device
    rows = torch.arange(height, device=device, dtype=torch.float32) + move.offset[:, :1] - (height - 1) / 2  # (B, H)
    columns = torch.arange(width, device=device, dtype=torch.float32) + move.offset[:, 1:] - (width - 1) / 2  # (B, W)
    # A pixel that the padding brought in is black, even where the rotated image would reach beyond its frame.
    framed = (rows.abs() <= (height - 1) / 2)[:, :, None] & (columns.abs() <= (width - 1) / 2)[:, None, :]
    cosine, sine = move.angle.cos()[:, None, None], move.angle.sin()[:, None, None]
    y = torch.round(cosine * rows[:, :, None] + sine * columns[:, None, :] + (height - 1) / 2).long()
    x = torch.round(cosine * columns[:, None, :] - sine * rows[:, :, None] + (width - 1) / 2).long()
    inside = framed & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    x = torch.where(move.flip[:, None, None], width - 1 - x, x)
    return torch.where(inside, y * width + x, 0).flatten(1), inside.flatten(1)


def gather(images: Tensor, index: Tensor, inside: Tensor, fill: int = 0) -> Tensor:
    """Images (B, C, H, W) with pixels taken by ``source_pixels``; what lies outside gets ``fill``."""
    flat = images.flatten(2)
    moved = flat.gather(2, index[:, None, :].expand_as(flat))
    return torch.where(inside[:, None, :], moved, fill).to(images.dtype).view_as(images)


def is_active(augment: Augment | None) -> bool:
    """Whether any part of the augmentation is switched on."""
    return augment is not None and bool(augment.rotation or augment.crop or augment.flip)
