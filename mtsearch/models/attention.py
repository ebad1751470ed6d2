"""Attention blocks for backbones that define none of their own."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from mtsearch.models.base import Backbone
from mtsearch.models.resize import PoolTo


def masks_of(backbone: Backbone) -> Callable[[int], nn.Module]:
    """Return a function that builds the attention block of a stage (from 0).

    A block maps the feature map of its stage to weights in (0, 1). The weights have the shape of
    the next stage's map; for the last stage they have the shape of the feature vector. If the
    backbone defines its own blocks, these are used.
    """
    return backbone.mask or (lambda stage: _mask(backbone, stage))


def _mask(backbone: Backbone, stage: int) -> nn.Module:
    channels = backbone.stages[stage][0]
    if stage + 1 == len(backbone.stages):
        return nn.Sequential(
            PoolTo((1, 1)),
            nn.Flatten(),
            nn.Linear(channels, channels),
            nn.ReLU(),
            nn.Linear(channels, backbone.width),
            nn.Sigmoid(),
        )
    following, *size = backbone.stages[stage + 1]
    return nn.Sequential(
        nn.Conv2d(channels, channels, 1),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        # pooling before the 3x3 convolution reduces its cost to that of the next stage
        PoolTo((size[0], size[1])),
        nn.Conv2d(channels, following, 3, padding=1),
        nn.BatchNorm2d(following),
        nn.Sigmoid(),
    )
