"""Wide residual networks with pre-activation blocks, for images whose sides are multiples of 8."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.errors import BadInput
from mtsearch.models.base import Backbone, Branch, Need
from mtsearch.models.coarse_pixels import coarse_pixels
from mtsearch.models.monitor import small_monitor


class Block(nn.Module):
    """BN, ReLU, 3x3 convolution, BN, ReLU, 3x3 convolution of stride `stride`, plus a shortcut from
    the input of the first BN. The sum has no activation.

    The shortcut is a strided 1x1 convolution if the size or width changes, else the identity. With
    i inputs and o outputs a block has 2i + 10io + 9o^2 + 5o parameters in the first case and
    18o^2 + 6o in the second.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, stride, padding=1),
        )
        self.shortcut = (
            nn.Identity()
            if inputs == outputs and stride == 1
            else nn.Conv2d(inputs, outputs, 1, stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h / stride, w / stride)."""
        return self.shortcut(x) + self.residual(x)  # type: ignore[no-any-return]


class WRN(nn.Module):
    """A 3x3 convolution to 16 channels and three stages of `blocks` blocks; the first block of a
    stage has stride 2, and the last stage ends in BN and ReLU.

    Wide residual network (Zagoruyko & Komodakis 2016, BMVC, arXiv 1605.07146) with strides on the
    second convolution of a block and in all three stages, as in the attention networks that use it
    (Liu, Johns & Davison 2019; Zheng et al. 2022).
    """

    def __init__(self, channels: int, widths: tuple[int, int, int, int], blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.groups = nn.ModuleList(
            nn.Sequential(Block(i, o, 2), *(Block(o, o, 1) for _ in range(blocks - 1)))
            for i, o in pairwise(widths)
        )
        self.last = nn.Sequential(nn.BatchNorm2d(widths[-1]), nn.ReLU())

    def stages(self, x: Tensor) -> list[Tensor]:
        """Return G0 to G3, the outputs of the stem and of each stage. Only the last one is
        normalised and activated."""
        maps = [self.stem(x)]
        for group in self.groups:
            maps.append(group(maps[-1]))
        return [*maps[:-1], self.last(maps[-1])]

    def parts(self) -> list[list[nn.Module]]:
        """Return the layers that compute each map from the previous one, by stage."""
        *groups, last = self.groups
        return [[self.stem], *([group] for group in groups), [last, self.last]]

    def layers(self, stage: int) -> list[nn.Module]:
        """Return the layers that compute G_stage from the previous map."""
        return self.parts()[stage]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 64 * widen, H / 8, W / 8)."""
        return self.stages(x)[-1]


def wrn(settings: schema.BackboneWRNConfig, shape: tuple[int, int, int]) -> Backbone:
    """WRN-depth-widen with global average pooling. On 3 channels WRN-28-4 has 5,850,528 parameters.

    Segmentation heads are `coarse_pixels`.

    Raises:
        BadInput: a side of the images is not a multiple of 8. Convolutions round halves up and
            pools round them down, so that the sizes would not match.
    """
    channels, height, width = shape
    if height % 8 or width % 8:
        raise BadInput(
            f"`trial.backbone: wrn` needs images whose sides are multiples of 8 pixels. Found"
            f" {height} x {width}. Crop or resize them to {max(8, height // 8 * 8)} x"
            f" {max(8, width // 8 * 8)}."
        )
    k = settings.widen
    widths = (16, 16 * k, 32 * k, 64 * k)
    stages = tuple((f, height >> j, width >> j) for j, f in enumerate(widths))

    def trunk(needs: Sequence[Need]) -> Branch:
        body = WRN(channels, widths, (settings.depth - 4) // 6)
        return Branch(body, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), needs)

    def monitor(needs: Sequence[Need]) -> Branch:
        return small_monitor(shape, widths[-1], stages[-1], needs)

    return Backbone(
        trunk,
        monitor,
        widths[-1],
        stages[-1],
        shape,
        stages=stages,
        heads=dict.fromkeys(("segmentation", "depth", "normals"), coarse_pixels),
    )
