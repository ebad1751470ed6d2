"""The cost of one image."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def model_macs(model: nn.Module, shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of all convolutions and linear layers for one image of `shape` (channels, height, width), as executed.

    Biases, activations, normalisation, pooling and the products inside attention are not counted, as is usual in the field.
    """
    total = 0

    def count(layer: Any, _: tuple[Any, ...], output: Tensor) -> None:
        nonlocal total
        total += output.numel() * math.prod(layer.weight.shape[1:])

    reference = next(model.parameters())
    training = model.training
    handles = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    try:
        model.eval()(torch.zeros((1, *shape), device=reference.device, dtype=reference.dtype))
    finally:
        for handle in handles:
            handle.remove()
        model.train(training)
    return total
