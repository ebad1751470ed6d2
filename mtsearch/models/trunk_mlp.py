"""Fully connected trunks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from mtsearch.config import schema
from mtsearch.models.base import Backbone, Branch, Need
from mtsearch.models.dense import Dense, after_layer
from mtsearch.models.flatten import FlattenPixels


def mlp(settings: schema.BackboneMLPConfig, shape: tuple[int, int, int]) -> Backbone:
    """Linear layers of `widths` outputs, each a stage with a map of one pixel. The monitor is one
    linear layer."""
    entries, widths = math.prod(shape), settings.widths

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [
            Dense(inputs, outputs),
            *after_layer(outputs, settings.norm, settings.activation, settings.dropout),
        ]

    def trunk(needs: Sequence[Need]) -> Branch:
        inputs = (entries, *widths[:-1])
        blocks = [block(i, o) for i, o in zip(inputs, widths, strict=True)]
        ends = [len(blocks[0]) * number for number in range(1, len(blocks))]
        layers = [layer for part in blocks for layer in part]
        return Branch(nn.Sequential(*layers), FlattenPixels(), needs, ends)

    def monitor(needs: Sequence[Need]) -> Branch:
        return Branch(nn.Sequential(*block(entries, widths[-1])), FlattenPixels(), needs)

    stages = tuple((width, 1, 1) for width in widths)
    return Backbone(trunk, monitor, widths[-1], stages[-1], shape, stages)
