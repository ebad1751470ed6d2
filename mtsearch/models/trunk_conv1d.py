"""Convolutions along sequences."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from torch import nn

from mtsearch.config import schema
from mtsearch.config.errors import BadInput
from mtsearch.models.base import Backbone, Branch, Need
from mtsearch.models.dense import after_layer
from mtsearch.models.flatten import FlattenPixels


def conv1d(settings: schema.BackboneConv1dConfig, shape: tuple[int, int, int]) -> Backbone:
    """Convolutions over the last axis of sequences (channels, 1, length), each a stage. They are
    `Conv2d` with kernels of one row. The monitor is one convolution, pooled to the size of the
    trunk's map.

    Raises:
        BadInput: the inputs are no sequences, or shorter than what the stages pool.
    """
    inputs, rows, length = shape
    channels, pool = settings.channels, settings.pool
    least = pool ** len(channels)
    if rows != 1 or length == 1:
        found = f"shape {inputs} x {rows} x {length}" if rows != 1 else f"{inputs} single numbers"
        other = "a backbone for images" if rows != 1 else "`mlp`"
        raise BadInput(
            "`trial.backbone: conv1d` reads sequences of shape [channels, length]. Found inputs of"
            f" {found}. Use {other}."
        )
    if length < least:
        raise BadInput(
            f"`trial.backbone: conv1d` pools by {least} with {len(channels)} `channels` and `pool`"
            f" {pool}, but the sequences have length {length}. Use fewer `channels` or a smaller"
            " `pool`."
        )
    lengths = list(accumulate(channels, lambda now, _: now // pool, initial=length))[1:]

    def block(before: int, after: int, pooled: int) -> list[nn.Module]:
        kernel = settings.kernel
        return [
            nn.Conv2d(before, after, (1, kernel), padding=(0, kernel // 2)),
            *after_layer(after, settings.norm, settings.activation, settings.dropout, pooled),
        ]

    def neck() -> nn.Module:
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), FlattenPixels())

    def trunk(needs: Sequence[Need]) -> Branch:
        blocks = [
            block(b, a, pool) for b, a in zip((inputs, *channels[:-1]), channels, strict=True)
        ]
        ends = [len(blocks[0]) * number for number in range(1, len(blocks))]
        layers = [layer for part in blocks for layer in part]
        return Branch(nn.Sequential(*layers), neck(), needs, ends)

    def monitor(needs: Sequence[Need]) -> Branch:
        body = nn.Sequential(*block(inputs, channels[-1], least))
        return Branch(body, neck(), needs)

    stages = tuple((width, 1, size) for width, size in zip(channels, lengths, strict=True))
    return Backbone(trunk, monitor, channels[-1], stages[-1], shape, stages)
