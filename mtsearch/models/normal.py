"""Small normal initialisation."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def normal_(model: nn.Module, deviation: float = 0.01) -> None:
    """Sample the weights of every convolution and linear layer from N(0, deviation^2) in place,
    with torch's global generator; biases are 0. Frozen layers keep their weights.

    This is the default initialisation of MindSpore 1.x, which the published MTLN uses.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.requires_grad:
            nn.init.normal_(layer.weight, 0.0, deviation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
