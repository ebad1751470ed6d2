"""The MultiMNIST trunk and monitor of MDMTN, for images of any size from 16 x 16."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from mtsearch.config import schema
from mtsearch.models.base import Backbone, Branch, Need
from mtsearch.models.flatten import FlattenPixels
from mtsearch.models.resize import PoolTo, convolved, map_size

WIDTH = 50


def mm(settings: schema.BackboneMMConfig, shape: tuple[int, int, int]) -> Backbone:
    """Two 5x5 convolutions (10, 20 channels), each with a 2x2 max-pool before its ReLU, and a
    linear layer to 50.

    On 1 x 28 x 28 the trunk has 21,330 parameters and a monitor 144,570.
    """
    channels = shape[0]
    height, width = map_size(shape, 5, "mm")
    early = (convolved(shape[1], 5), convolved(shape[2], 5))
    pixels = early[0] * early[1]
    entries = 20 * height * width

    def trunk(needs: Sequence[Need]) -> Branch:
        body = nn.Sequential(
            nn.Conv2d(channels, 10, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(10, 20, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
        )
        return Branch(
            body,
            nn.Sequential(FlattenPixels(), nn.Linear(entries, WIDTH), nn.ReLU()),
            needs,
            ends=[3],
        )

    def monitor(needs: Sequence[Need]) -> Branch:
        body = nn.Sequential(nn.Conv2d(channels, 20, 5), nn.MaxPool2d(2), nn.ReLU())
        if "map" in needs:
            body.append(PoolTo((height, width)))
            pixels_in = height * width
        else:
            pixels_in = pixels
        return Branch(
            body, nn.Sequential(FlattenPixels(), nn.Linear(20 * pixels_in, WIDTH), nn.ReLU()), needs
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
            nn.Conv2d(10, 10, 1),
            nn.ReLU(),
            nn.Conv2d(10, 20, 5),
            nn.MaxPool2d(2),
            nn.Sigmoid(),
        )

    stages = ((10, *early), (20, height, width))
    return Backbone(trunk, monitor, WIDTH, stages[-1], shape, stages, mask)
