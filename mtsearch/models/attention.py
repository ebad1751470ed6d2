"""Attention blocks for trunks that bring none of their own."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from mtsearch.models.base import Backbone
from mtsearch.models.resize import PoolTo


def masks_of(backbone: Backbone) -> Callable[[int], nn.Module]:
    """Stage number (from 0) -> a new block from that stage's map to weights in (0, 1): in the next
    stage's shape, from the last stage in the feature vector's. The backbone's own blocks where it
    has some."""
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
        PoolTo(
            (size[0], size[1])
        ),  # before the large convolution, which then costs what one of the next stage does
        nn.Conv2d(channels, following, 3, padding=1),
        nn.BatchNorm2d(following),
        nn.Sigmoid(),
    )
