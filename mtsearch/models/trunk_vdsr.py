"""VDSR: a deep plain convolutional network that corrects an image."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from mtsearch.config import schema
from mtsearch.models.base import Backbone, Branch, Need
from mtsearch.models.monitor import small_monitor
from mtsearch.models.restoring import Correction

# number of stages for architectures that use intermediate maps; all maps have the same size, so
# that the stages are equally long
STAGES = 4


def vdsr(settings: schema.BackboneVDSRConfig, shape: tuple[int, int, int]) -> Backbone:
    """`depth` 3x3 convolutions with `width` filters and without biases, the last of which is the
    head; ReLU after all others (Kim, Lee & Lee 2016, CVPR, arXiv 1511.04587).

    The output of a restoration is the image plus the output of the head. If the network should
    process unnormalised images, the dataset card sets `mean: [0]` and `std: [1]`. Weights are
    initialised He-normal with fan-out. With depth 20 and width 64 a network on one channel has
    664,704 parameters, in general 18 C w + 9 (depth - 2) w^2 for C channels and width w.
    """
    channels, height, width = shape
    filters = settings.width
    map_shape = (filters, height, width)
    count = min(STAGES, settings.depth - 1)
    ends = [2 * (stage * (settings.depth - 1) // count) for stage in range(1, count)]

    def trunk(needs: Sequence[Need]) -> Branch:
        layers: list[nn.Module] = []
        for number in range(settings.depth - 1):
            convolution = nn.Conv2d(
                filters if number else channels, filters, 3, padding=1, bias=False
            )
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            layers += [convolution, nn.ReLU()]
        return Branch(
            nn.Sequential(*layers),
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            needs,
            ends,
        )

    def monitor(needs: Sequence[Need]) -> Branch:
        return small_monitor(shape, filters, map_shape, needs)

    return Backbone(
        trunk,
        monitor,
        filters,
        map_shape,
        shape,
        stages=(map_shape,) * count,
        heads={"restoration": Correction},
    )
