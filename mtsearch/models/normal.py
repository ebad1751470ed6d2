"""Small normal initialisation."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def normal_(model: nn.Module, deviation: float = 0.01) -> None:
    """Draw the weights of every convolution and linear layer from N(0, deviation^2), in place, from
    torch's global generator; biases are 0.

    Layers that are frozen keep their weights. What MindSpore 1.x did by default, and so the
    published MTLN.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.requires_grad:
            nn.init.normal_(layer.weight, 0.0, deviation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
