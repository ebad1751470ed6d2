"""The Cifar10Mnist trunk and monitor of MDMTN, for images of any size from 10 x 10."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from mtsearch.config import schema
from mtsearch.models.base import Backbone, Branch, Need
from mtsearch.models.flatten import FlattenPixels
from mtsearch.models.resize import PoolTo, convolved, map_size

WIDTH = 32


def cm(settings: schema.BackboneCMConfig, shape: tuple[int, int, int]) -> Backbone:
    """Two 3x3 convolutions (16, 32 channels), each with a 2x2 max-pool before batch norm and ReLU,
    and a linear layer to 32.

    On 3 x 32 x 32 the trunk has 42,080 parameters and a monitor 231,392.
    """
    channels = shape[0]
    height, width = map_size(shape, 3, "cm")
    early = (convolved(shape[1], 3), convolved(shape[2], 3))
    pixels = early[0] * early[1]
    entries = 32 * height * width

    def trunk(needs: Sequence[Need]) -> Branch:
        body = nn.Sequential(
            nn.Conv2d(channels, 16, 3),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(32),
            nn.ReLU(),
        )
        return Branch(
            body,
            nn.Sequential(FlattenPixels(), nn.Linear(entries, WIDTH), nn.ReLU()),
            needs,
            ends=[4],
        )

    def monitor(needs: Sequence[Need]) -> Branch:
        body = nn.Sequential(
            nn.Conv2d(channels, 32, 3), nn.MaxPool2d(2), nn.BatchNorm2d(32), nn.ReLU()
        )
        if "map" in needs:
            body.append(PoolTo((height, width)))
            pixels_in = height * width
        else:
            pixels_in = pixels
        return Branch(
            body, nn.Sequential(FlattenPixels(), nn.Linear(32 * pixels_in, WIDTH), nn.ReLU()), needs
        )

    def mask(stage: int) -> nn.Module:
        if stage == 1:
            return nn.Sequential(
                FlattenPixels(),
                nn.Linear(entries, entries),
                nn.ReLU(),
                nn.Linear(entries, WIDTH),
                nn.Sigmoid(),
            )
        return nn.Sequential(
            nn.Conv2d(16, 16, 1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(32),
            nn.Sigmoid(),
        )

    stages = ((16, *early), (32, height, width))
    return Backbone(trunk, monitor, WIDTH, stages[-1], shape, stages, mask)
