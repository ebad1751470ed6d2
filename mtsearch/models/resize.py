"""Bringing a monitor's feature map to the trunk's size."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mtsearch.config.errors import BadInput


class PoolTo(nn.Module):
    """Average-pool a feature map to (h, w), whatever its size."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.size)


def convolved(size: int, kernel: int) -> int:
    """Side length after an unpadded convolution and a 2x2 pool."""
    return (size - kernel + 1) // 2


def map_size(shape: tuple[int, int, int], kernel: int, name: str) -> tuple[int, int]:
    """(h, w) after two unpadded `kernel` convolutions, each with a 2x2 pool.

    Raises:
        BadInput: nothing would be left of the images.
    """
    height, width = (convolved(convolved(side, kernel), kernel) for side in shape[1:])
    if height < 1 or width < 1:
        smallest = 2 * (kernel + 1) + kernel - 1
        raise BadInput(
            f"backbone `{name}` needs images of at least {smallest} x {smallest} pixels. Found"
            f" {shape[1]} x {shape[2]}; choose another backbone."
        )
    return height, width
