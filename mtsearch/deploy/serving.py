"""What is exported: images or arrays in, outputs by task out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtsearch.data import Dataset
from mtsearch.data.stored import in_memory


class Serving(nn.Module):
    """Takes float images (B, C, H, W) in [0, 1], or arrays (B, ...), normalises them as in
    training, returns raw outputs by task name.

    Args:
        model: a multi-task network on normalised images.
        mean, std: per channel, of pixels in [0, 1] or of the values of arrays; empty for inputs
            without statistics.
        shape: (C, H, W) of an array in the network; None for images.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self.model, self.shape = model, shape
        self.normalises = len(mean) > 0  # else inputs are taken as they are
        self.register_buffer("mean", torch.tensor(mean or [0.0]).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std or [1.0]).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        if not self.normalises:
            return self.model(images)  # type: ignore[no-any-return]
        if self.shape is not None:
            images = images.reshape(-1, *self.shape)
        return self.model((images - self.mean) / self.std)  # type: ignore[no-any-return]


def serving_of(model: nn.Module, dataset: Dataset) -> Serving:
    """The network with the normalisation of a dataset."""
    shape = None if dataset.inputs is None else dataset.card.shape
    return Serving(model, dataset.mean, dataset.std, shape)


def given_shape(dataset: Dataset) -> tuple[int, ...]:
    """The shape of an example as it is given to `Serving`."""
    return dataset.card.shape if dataset.inputs is None else dataset.inputs.shape


def given_inputs(dataset: Dataset, split: str, count: int) -> Tensor:
    """The first examples of a split as they are given to `Serving`: images (n, C, H, W) in [0, 1],
    or others (n, ...) of float32."""
    rows = in_memory(dataset.splits[split].images[:count])
    if dataset.inputs is None:
        return rows.float() / 255 if rows.dtype == torch.uint8 else rows
    return rows.reshape(-1, *dataset.inputs.shape)
