"""A segmentation head that classifies the coarse feature map and upsamples the logits."""

from __future__ import annotations

from torch import nn

from mtsearch.config.cards import TaskCard
from mtsearch.models.base import Backbone

HIDDEN = 64


def coarse_pixels(task: TaskCard, backbone: Backbone) -> nn.Module:
    """Feature map (B, C, h, w) -> class logits (B, outputs, H, W): 3x3 convolution to 64, BN, ReLU,
    1x1 convolution, bilinear upsampling.

    C * 576 + 192 + 65 * outputs parameters: 148,038 for C = 256 and 6 outputs.
    """
    assert backbone.map_shape is not None  # holds for all backbones with this head
    return nn.Sequential(
        nn.Conv2d(backbone.map_shape[0], HIDDEN, 3, padding=1),
        nn.BatchNorm2d(HIDDEN),
        nn.ReLU(),
        nn.Conv2d(HIDDEN, task.outputs, 1),
        nn.Upsample(size=backbone.shape[1:], mode="bilinear", align_corners=False),
    )
