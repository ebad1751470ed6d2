"""A small EDSR: residual blocks without normalisation at low resolution, then pixel shuffles."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.errors import BadInput
from mtsearch.models.base import Backbone, Branch, Need
from mtsearch.models.monitor import small_monitor


class Block(nn.Module):
    """x + convolution(ReLU(convolution(x))), both 3x3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) -> (B, width, h, w)."""
        return x + self.residual(x)  # type: ignore[no-any-return]


class EDSR(nn.Module):
    """A pixel unshuffle by `scale` and a 3x3 convolution, then `blocks` residual blocks and a
    convolution with a skip connection around them, then convolutions to 4 * width with pixel
    shuffles by 2, up to the size of the image.
    """

    def __init__(self, channels: int, width: int, blocks: int, scale: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(scale), nn.Conv2d(channels * scale**2, width, 3, padding=1)
        )
        self.blocks = nn.Sequential(
            *(Block(width) for _ in range(blocks)), nn.Conv2d(width, width, 3, padding=1)
        )
        stages = [
            nn.Sequential(nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2))
            for _ in range(scale.bit_length() - 1)
        ]
        self.enlarge = nn.Sequential(*stages)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, width, H, W)."""
        coarse = self.stem(x)
        return self.enlarge(coarse + self.blocks(coarse))  # type: ignore[no-any-return]


def edsr(settings: schema.BackboneEDSRConfig, shape: tuple[int, int, int]) -> Backbone:
    """EDSR (Lim et al. 2017, CVPRW, arXiv 1707.02921) for images that were upsampled by `scale`
    beforehand. Its blocks run at the original resolution, with one position for each square of
    `scale` x `scale` pixels, and at the cost of that resolution. The head is a 3x3 convolution.

    With blocks b, width w, scale s and C channels the trunk has 9 C s^2 w + w + (2b + 1)(9 w^2 + w)
    + log2(s) (36 w^2 + 4 w) parameters.

    Raises:
        BadInput: a side of the images is not a multiple of `scale`.
    """
    channels, height, width = shape
    scale, filters = settings.scale, settings.width
    if height % scale or width % scale:
        raise BadInput(
            f"`trial.backbone: edsr` with `scale: {scale}` needs images whose sides are multiples"
            f" of it. Found {height} x {width}. Choose another `scale`."
        )
    map_shape = (filters, height, width)

    def trunk(needs: Sequence[Need]) -> Branch:
        return Branch(
            EDSR(channels, filters, settings.blocks, scale),
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            needs,
        )

    def monitor(needs: Sequence[Need]) -> Branch:
        return small_monitor(shape, filters, map_shape, needs)

    return Backbone(trunk, monitor, filters, map_shape, shape)
