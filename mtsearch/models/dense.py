"""Layers on feature maps that the backbones for arrays share."""

from __future__ import annotations

from torch import Tensor, nn

from mtsearch.config.backbones import Activation, LayerNorm
from mtsearch.models.flatten import FlattenPixels

_ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class Dense(nn.Module):
    """A linear layer on all entries of a map: (B, C, h, w) -> (B, outputs, 1, 1). A map of one
    pixel lets architectures for feature maps use fully connected layers."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.flatten = FlattenPixels()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.flatten(x)).unflatten(1, (-1, 1, 1))  # type: ignore[no-any-return]


def after_layer(
    channels: int, norm: LayerNorm, activation: Activation, dropout: float, pool: int = 1
) -> list[nn.Module]:
    """The normalisation, the activation, the max-pool over `pool` columns and the dropout that
    follow a layer with this number of channels."""
    layers: list[nn.Module] = []
    if norm == "batch":
        layers.append(nn.BatchNorm2d(channels))
    elif norm == "layer":
        layers.append(nn.GroupNorm(1, channels))
    layers.append(_ACTIVATIONS[activation]())
    if pool > 1:
        layers.append(nn.MaxPool2d((1, pool)))
    if dropout:
        layers.append(nn.Dropout(dropout))
    return layers
