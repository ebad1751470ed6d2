"""Heads that give an image: of feature maps as large as the image, or smaller."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models.base import Backbone
from mtsearch.models.heads import head, segmentation_head


@head("restoration", need="map")
def restoration_head(task: TaskCard, backbone: Backbone) -> nn.Module:
    """Feature map -> image (B, outputs, H, W): a 3x3 convolution on maps as large as the image,
    else convolutions and enlargement."""
    if backbone.map_shape is None or backbone.map_shape[1:] != backbone.shape[1:]:
        return segmentation_head(task, backbone)
    return nn.Conv2d(backbone.map_shape[0], task.outputs, 3, padding=1)


class Correction(nn.Module):
    """The image that the network sees plus a 3x3 convolution of its feature map, without bias: zero
    weights restore nothing."""

    def __init__(self, task: TaskCard, backbone: Backbone) -> None:
        super().__init__()
        if task.outputs != backbone.shape[0]:
            raise BadInput(
                f"task `{task.name}` restores {task.outputs} channel(s), and this backbone corrects"
                f" images of {backbone.shape[0]}; choose another."
            )
        assert backbone.map_shape is not None  # the backbones that name this head have one
        self.correct = nn.Conv2d(backbone.map_shape[0], task.outputs, 3, padding=1, bias=False)

    def forward(self, features: Tensor, images: Tensor | None = None) -> Tensor:
        """(B, C, H, W) features and (B, outputs, H, W) images -> images."""
        if images is None:
            raise BadInput(
                "this backbone corrects the image, which this architecture does not give to its"
                " heads; choose another."
            )
        out: Tensor = self.correct(features)
        return images + out


def read_out(head: Any, features: Tensor, images: Tensor) -> Tensor:
    """What a head makes of the features, and of the images where it adds to them."""
    out: Tensor = head(features, images) if isinstance(head, Correction) else head(features)
    return out
