"""EfficientNet-B0 for small images: the older, simplified variant that CIFAR-10 code uses."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.errors import BadInput
from mtsearch.models.base import Backbone, Branch, Need
from mtsearch.models.flatten import FlattenPixels
from mtsearch.models.monitor import small_monitor

STEM = 32
STAGES = (
    (1, 16, 1, 2),
    (6, 24, 2, 1),
    (6, 40, 2, 2),
    (6, 80, 3, 2),
    (6, 112, 3, 1),
    (6, 192, 4, 2),
    (6, 320, 1, 2),
)
"""Expansion, channels, blocks and stride of the first block."""
LARGEST = 32  # pixels a side that five strides of 2 bring to one


class Excited(nn.Module):
    """x * w(x) with the weights w (B, C, 1, 1) that `excite` makes of maps x (B, C, h, w)."""

    def __init__(self, excite: nn.Module) -> None:
        super().__init__()
        self.excite = excite

    def forward(self, x: Tensor) -> Tensor:
        return x * self.excite(x)  # type: ignore[no-any-return]


class Block(nn.Module):
    """An inverted bottleneck with squeeze-and-excitation after or before its projection; nothing
    follows the sum.

    u = 1x1 convolution to `expansion` times the inputs, BN, ReLU, depthwise 3x3 of the stride, BN,
    ReLU, 1x1 to the outputs, BN; w = sigmoid(1x1 (ReLU (1x1 (mean over pixels of u)))), its
    channels / `se_ratio` wide inside, but at least `se_least`; result = u * w + r, or, with
    `se_place: before`, u + r with what the last 1x1 convolution reads weighed in the same way. r is
    the input at stride 1 (through 1x1 convolution and BN where the channels change). At stride 2 r
    follows `stride_skip`: `own` u itself, so the block is u * (1 + w); `none` nothing; `pooled` the
    mean of 2x2 pixels through 1x1 convolution and BN.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        expansion: int,
        stride: int,
        settings: schema.BackboneEfficientNetCIFARConfig,
    ) -> None:
        super().__init__()
        hidden = expansion * inputs
        weighed = outputs if settings.se_place == "after" else hidden
        squeezed = max(settings.se_least, weighed // settings.se_ratio)
        self.body = nn.Sequential(
            nn.Conv2d(inputs, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        excite = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(weighed, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, weighed, 1),
            nn.Sigmoid(),
        )
        self.excite = excite if settings.se_place == "after" else None
        if settings.se_place == "before":
            self.body.insert(len(self.body) - 2, Excited(excite))
        self.skip = settings.stride_skip if stride == 2 else "input"
        self.shortcut = nn.Sequential()
        if self.skip == "pooled":
            self.shortcut.append(nn.AvgPool2d(2, ceil_mode=True))
        if self.skip == "pooled" or (self.skip == "input" and inputs != outputs):
            self.shortcut.extend(
                [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, ceil(h / stride), ceil(w / stride))."""
        u = self.body(x)
        weighed: Tensor = u if self.excite is None else u * self.excite(u)
        if self.skip == "none":
            return weighed
        return weighed + (u if self.skip == "own" else self.shortcut(x))


class EfficientNet(nn.Module):
    """A 3x3 convolution of stride 1 with BN and ReLU, and seven stages of blocks; the map's side is
    a 32nd of the images', rounded up."""

    def __init__(self, channels: int, settings: schema.BackboneEfficientNetCIFARConfig) -> None:
        super().__init__()
        widths = [
            scaled(STEM, settings.width),
            *(scaled(out, settings.width) for _, out, _, _ in STAGES),
        ]
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        self.groups = nn.ModuleList()
        for number, (expansion, _, count, stride) in enumerate(STAGES):
            group = nn.Sequential()
            for place in range(math.ceil(count * settings.depth)):
                inputs = widths[number] if place == 0 else widths[number + 1]
                group.append(
                    Block(
                        inputs, widths[number + 1], expansion, stride if place == 0 else 1, settings
                    )
                )
            self.groups.append(group)

    def stages(self, x: Tensor) -> list[Tensor]:
        """The last map of each size: of the stem and of the stages 2, 3, 5, 6 and 7."""
        maps = [self.stem(x)]
        for group, (_, _, _, stride) in zip(self.groups, STAGES, strict=True):
            features = group(maps[-1])
            maps = [*maps, features] if stride == 2 else [*maps[:-1], features]
        return maps

    def parts(self) -> list[list[nn.Module]]:
        """The stem and the seven stages."""
        return [[self.stem], *([group] for group in self.groups)]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 320 * width, ceil(H / 32), ceil(W / 32))."""
        return self.stages(x)[-1]


def scaled(channels: int, width: float) -> int:
    """Channels times the width, rounded, at least 1."""
    return max(1, round(channels * width))


def efficientnet_cifar(
    settings: schema.BackboneEfficientNetCIFARConfig, shape: tuple[int, int, int]
) -> Backbone:
    """2,908,879 parameters on 3 channels. Up to 32 pixels a side the map is one pixel, whose
    channels are the feature vector.

    Raises:
        BadInput: larger images without `pool`.
    """
    channels, height, width = shape
    if max(height, width) > LARGEST and not settings.pool:
        raise BadInput(
            f"backbone `efficientnet_cifar` takes images of up to {LARGEST} pixels a side, which it"
            f" brings to one pixel. Found {height} x {width}; set `trial.backbone.pool` to average"
            " over the larger map, which changes nothing for small images."
        )
    with torch.device("meta"):
        body = EfficientNet(channels, settings).eval()
        stages = tuple(tuple(stage.shape[1:]) for stage in body.stages(torch.zeros((2, *shape))))

    def trunk(needs: Sequence[Need]) -> Branch:
        neck = (
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
            if settings.pool
            else FlattenPixels()
        )
        return Branch(EfficientNet(channels, settings), neck, needs)

    def monitor(needs: Sequence[Need]) -> Branch:
        return small_monitor(shape, stages[-1][0], stages[-1], needs)  # type: ignore[arg-type]

    return Backbone(trunk, monitor, stages[-1][0], stages[-1], shape, stages)  # type: ignore[arg-type]
