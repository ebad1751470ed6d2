"""EfficientNet-B0 for small images, in the simplified variant of common CIFAR-10 code."""

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
"""By stage: expansion, channels, number of blocks, stride of the first block."""
MAX_SIDE = 32  # largest side, in pixels, that five strides of 2 reduce to one pixel


class Excited(nn.Module):
    """x * w(x) with weights w (B, C, 1, 1), which `excite` computes from maps x (B, C, h, w)."""

    def __init__(self, excite: nn.Module) -> None:
        super().__init__()
        self.excite = excite

    def forward(self, x: Tensor) -> Tensor:
        return x * self.excite(x)  # type: ignore[no-any-return]


class Block(nn.Module):
    """An inverted bottleneck with squeeze-and-excitation after or before its projection.

    u is the input after a 1x1 convolution to `expansion` times its channels, BN, ReLU, a strided
    depthwise 3x3 convolution, BN, ReLU, a 1x1 convolution to `outputs` channels (the projection)
    and BN. The weights are w = sigmoid(1x1 (ReLU (1x1 (mean over pixels of u)))); the inner layer
    has 1 / `se_ratio` of the channels, but at least `se_least`.

    The result is u * w + r. With `se_place: before` it is u + r, and the weights are applied to the
    input of the projection instead. At stride 1, r is the input (after a 1x1 convolution and BN if
    the number of channels changes). At stride 2, r depends on `stride_skip`: with `own` it is u, so
    that the result is u * (1 + w); with `none` it is 0; with `pooled` it is the mean over 2x2
    pixels of the input after a 1x1 convolution and BN. The sum has no activation.
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
    """A 3x3 convolution of stride 1 with BN and ReLU, and seven stages of blocks. The sides of the
    feature map are those of the image divided by 32, rounded up."""

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
        """Return the last map of each size: those of the stem and of stages 2, 3, 5, 6 and 7."""
        maps = [self.stem(x)]
        for group, (_, _, _, stride) in zip(self.groups, STAGES, strict=True):
            features = group(maps[-1])
            maps = [*maps, features] if stride == 2 else [*maps[:-1], features]
        return maps

    def parts(self) -> list[list[nn.Module]]:
        """Return the stem and the seven stages."""
        return [[self.stem], *([group] for group in self.groups)]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 320 * width, ceil(H / 32), ceil(W / 32))."""
        return self.stages(x)[-1]


def scaled(channels: int, width: float) -> int:
    """Return `channels` times `width`, rounded, at least 1."""
    return max(1, round(channels * width))


def efficientnet_cifar(
    settings: schema.BackboneEfficientNetCIFARConfig, shape: tuple[int, int, int]
) -> Backbone:
    """EfficientNet-B0 with 2,908,879 parameters on 3 channels. For images of up to 32 x 32 pixels
    the feature map is one pixel, whose channels are the feature vector.

    Raises:
        BadInput: the images are larger and `pool` is not set.
    """
    channels, height, width = shape
    if max(height, width) > MAX_SIDE and not settings.pool:
        raise BadInput(
            "`trial.backbone: efficientnet_cifar` without `pool` needs images of at most"
            f" {MAX_SIDE} x {MAX_SIDE} pixels. Found {height} x {width}. Set `trial.backbone.pool`"
            " to average over the larger feature map."
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
