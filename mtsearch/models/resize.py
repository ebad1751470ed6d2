"""Sizes of feature maps, and pooling to a given size."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mtsearch.config.errors import BadInput


class PoolTo(nn.Module):
    """Average-pools a feature map of any size to `size` (h, w)."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.size)


def convolved(size: int, kernel: int) -> int:
    """Return the side length after an unpadded convolution and a 2x2 pool."""
    return (size - kernel + 1) // 2


def map_size(shape: tuple[int, int, int], kernel: int, name: str) -> tuple[int, int]:
    """Return (h, w) after two unpadded convolutions of size `kernel`, each with a 2x2 pool.

    Raises:
        BadInput: the images are too small.
    """
    height, width = (convolved(convolved(side, kernel), kernel) for side in shape[1:])
    if height < 1 or width < 1:
        smallest = 2 * (kernel + 1) + kernel - 1
        raise BadInput(
            f"`trial.backbone: {name}` needs images of at least {smallest} x {smallest} pixels."
            f" Found {shape[1]} x {shape[2]}. Choose another backbone."
        )
    return height, width
