"""The branch network of ensembles with feature mixing: residual blocks between two convolutions, at
the resolution of the image."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.models.base import Backbone, Branch, Need
from mtsearch.models.monitor import small_monitor
from mtsearch.models.restoring import Correction

SLOPE = 0.2


class Block(nn.Module):
    """x + convolution(leaky ReLU(convolution(x))), both 3x3, without biases."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) -> (B, width, h, w)."""
        return x + self.residual(x)  # type: ignore[no-any-return]


def ktde(settings: schema.BackboneKTDEConfig, shape: tuple[int, int, int]) -> Backbone:
    """3x3 convolution and leaky ReLU (slope 0.2), `blocks` residual blocks, 3x3 convolution. For
    restoration the head adds a convolution of the feature map to the image.

    A stage ends after the first convolution and after each block, so that 3 blocks give the four
    positions of the feature mixing. With b blocks, width w and C channels a restoration network has
    18 C w + (2 b + 1) 9 w^2 parameters.
    """
    channels, height, width = shape
    filters, blocks = settings.width, settings.blocks
    stage = (filters, height, width)

    def trunk(needs: Sequence[Need]) -> Branch:
        body = nn.Sequential(
            nn.Sequential(
                nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.LeakyReLU(SLOPE)
            ),
            *(Block(filters) for _ in range(blocks)),
            nn.Conv2d(filters, filters, 3, padding=1, bias=False),
        )
        return Branch(
            body,
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            needs,
            ends=range(1, blocks + 2),
        )

    def monitor(needs: Sequence[Need]) -> Branch:
        return small_monitor(shape, filters, stage, needs)

    return Backbone(
        trunk,
        monitor,
        filters,
        stage,
        shape,
        stages=(stage,) * (blocks + 2),
        heads={"restoration": Correction},
    )
