"""Multiply-accumulates of a network for one image."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def model_macs(
    model: nn.Module, shape: tuple[int, ...] | Tensor, skip_zero_rows: bool = False
) -> int:
    """Count the multiply-accumulates of all convolutions and linear layers for one sample, as
    executed.

    Biases, activations, normalisation, pooling and the products inside attention are not counted,
    as is usual in the field.

    Args:
        model: the network.
        shape: the shape of a sample without the batch axis (for an image: channels, height,
            width), or a sample (1, ...).
        skip_zero_rows: whether to leave out the products with input channels or features whose
            weights are all zero. The compacted network needs at most this number; it needs less if
            it also drops channels that no layer reads.

    Returns:
        The number of multiply-accumulates.
    """
    total = 0

    def count(layer: Any, _: tuple[Any, ...], output: Tensor) -> None:
        nonlocal total
        weight = layer.weight
        inputs = weight.shape[1]
        if skip_zero_rows and getattr(layer, "groups", 1) == 1:
            inputs = int((weight != 0).transpose(0, 1).flatten(1).any(1).sum())
        total += output.numel() * inputs * math.prod(weight.shape[2:])

    if not isinstance(shape, Tensor):
        reference = next(model.parameters())
        shape = torch.zeros((1, *shape), device=reference.device, dtype=reference.dtype)
    training = model.training
    handles = [
        m.register_forward_hook(count)
        for m in model.modules()
        if isinstance(m, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear)
    ]
    try:
        model.eval()(shape.clone())
    finally:
        for handle in handles:
            handle.remove()
        model.train(training)
    return total
