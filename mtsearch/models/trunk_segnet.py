"""SegNet: a VGG-16 encoder with batch norm, and a mirrored decoder that unpools with the indices of
the encoder's max-pools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models.base import Backbone, Branch, Need
from mtsearch.models.monitor import small_monitor


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """3x3 convolution, BN, ReLU, with 9io + 3o parameters for i inputs and o outputs."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def unpool(x: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, h, w) -> (B, C, *size): each value at the position from which a 2x2 max-pool took it,
    given by `indices`, and zeros elsewhere."""
    height, width = size
    zeros = x.new_zeros((x.shape[0], x.shape[1], height * width))
    return zeros.scatter(2, indices.flatten(2), x.flatten(2)).unflatten(2, (height, width))


@dataclass(frozen=True)
class Maps:
    """The feature maps of SegNet.

    Attributes:
        first: by level 0..4, the encoder's map after its first convolution.
        second: by level, the encoder's last map before its pool.
        pooled: (B, C, h, w) the output of the encoder.
        up: by level, the unpooled map of the decoder; empty if the decoder did not run.
        down: by level, the last map of the decoder; empty if the decoder did not run.
    """

    first: list[Tensor]
    second: list[Tensor]
    pooled: Tensor
    up: list[Tensor]
    down: list[Tensor]


class SegNet(nn.Module):
    """SegNet (Badrinarayanan, Kendall & Cipolla 2017, IEEE TPAMI 39), in the variant of the dense
    MTAN (Liu, Johns & Davison 2019).

    Level i of the encoder has 2 convolutions to `widths[i]` channels (3 from the third level on)
    before its pool. Level i of the decoder has equally many convolutions, to
    ``widths[max(i - 1, 0)]`` channels, after its unpooling.

    Args:
        channels: channels of the images.
        widths: channels of the five levels of the encoder.
        size: (height, width) of the images.
        decodes: whether there is a decoder.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], size: tuple[int, int], decodes: bool
    ) -> None:
        super().__init__()
        self.sizes = [(size[0] >> level, size[1] >> level) for level in range(len(widths))]
        below = [channels, *widths]
        self.encoder_first = nn.ModuleList(
            convolution(below[i], width) for i, width in enumerate(widths)
        )
        self.encoder_second = nn.ModuleList(_more(width, i) for i, width in enumerate(widths))
        ends = [widths[max(i - 1, 0)] for i in range(len(widths))] if decodes else []
        self.decoder_first = nn.ModuleList(
            convolution(widths[i], end) for i, end in enumerate(ends)
        )
        self.decoder_second = nn.ModuleList(_more(end, i) for i, end in enumerate(ends))

    def maps(self, x: Tensor, decode: bool) -> Maps:
        """Return the feature maps of images (B, C, H, W), those of the decoder only if `decode`."""
        first: list[Tensor] = []
        second: list[Tensor] = []
        up: list[Tensor] = []
        down: list[Tensor] = []
        indices: list[Tensor] = []
        for one, two in zip(self.encoder_first, self.encoder_second, strict=True):
            first.append(one(x))
            second.append(two(first[-1]))
            x, index = F.max_pool2d(second[-1], 2, return_indices=True)
            indices.append(index)
        pooled = x
        for level in reversed(range(len(indices))) if decode else ():
            up.insert(0, unpool(x, indices[level], self.sizes[level]))
            x = self.decoder_second[level](self.decoder_first[level](up[0]))
            down.insert(0, x)
        return Maps(first, second, pooled, up, down)


def _more(width: int, level: int) -> nn.Sequential:
    return nn.Sequential(*(convolution(width, width) for _ in range(1 if level < 2 else 2)))


class SegNetBranch(Branch):
    """A branch whose feature vector is the output of the encoder, averaged over pixels, and whose
    feature map is the output of the decoder. A decoder that is not needed is left out."""

    body: SegNet

    def __init__(self, body: SegNet, needs: Sequence[Need]) -> None:
        super().__init__(body, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), needs)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = self.body.maps(images, "map" in self.needs)
        return [
            self.neck(maps.pooled) if need == "vector" and self.neck is not None else maps.down[0]
            for need in self.needs
        ]


def fine_pixels(task: TaskCard, backbone: Backbone) -> nn.Module:
    """Feature map (B, C, H, W) -> raw outputs (B, outputs, H, W): a 3x3 and a 1x1 convolution, as
    in MTAN."""
    assert backbone.map_shape is not None  # holds for the only backbone with this head
    channels = backbone.map_shape[0]
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, task.outputs, 1)
    )


def segnet(settings: schema.BackboneSegNetConfig, shape: tuple[int, int, int]) -> Backbone:
    """SegNet; at the published widths on 3 channels the encoder has 14,723,136 parameters and the
    decoder 10,220,160.

    Raises:
        BadInput: a side of the images is shorter than 32 pixels, too small for five pools.
    """
    channels, height, width = shape
    widths = settings.widths
    if min(height, width) < 1 << len(widths):
        raise BadInput(
            f"`trial.backbone: segnet` needs images of at least 32 x 32 pixels. Found {height} x"
            f" {width}. Enlarge them or choose another backbone."
        )

    def trunk(needs: Sequence[Need]) -> Branch:
        return SegNetBranch(SegNet(channels, widths, (height, width), "map" in needs), needs)

    map_shape = (widths[0], height, width)

    def monitor(needs: Sequence[Need]) -> Branch:
        return small_monitor(shape, widths[-1], map_shape, needs)

    heads = dict.fromkeys(("segmentation", "depth", "normals"), fine_pixels)
    return Backbone(trunk, monitor, widths[-1], map_shape, shape, heads=heads)
