"""What is exported: images in, outputs by task out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Serving(nn.Module):
    """Takes float images (B, C, H, W) in [0, 1], normalises them as in training, returns raw
    outputs by task name.

    Args:
        model: a multi-task network on normalised images.
        mean, std: per channel, of pixels in [0, 1]; empty for inputs without statistics.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        self.normalises = len(mean) > 0  # else inputs are taken as they are
        self.register_buffer("mean", torch.tensor(mean or [0.0]).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std or [1.0]).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        if not self.normalises:
            return self.model(images)  # type: ignore[no-any-return]
        return self.model((images - self.mean) / self.std)  # type: ignore[no-any-return]
