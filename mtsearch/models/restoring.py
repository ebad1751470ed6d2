"""Heads for image restoration."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models.base import Backbone
from mtsearch.models.heads import head, segmentation_head


@head("restoration", need="map")
def restoration_head(task: TaskCard, backbone: Backbone) -> nn.Module:
    """Feature map -> image (B, outputs, H, W), by a 3x3 convolution if the map is as large as the
    image, else by convolutions and upsampling."""
    if backbone.map_shape is None or backbone.map_shape[1:] != backbone.shape[1:]:
        return segmentation_head(task, backbone)
    return nn.Conv2d(backbone.map_shape[0], task.outputs, 3, padding=1)


class Correction(nn.Module):
    """The input image plus a 3x3 convolution, without bias, of the feature map. With zero weights
    the output is the input image."""

    def __init__(self, task: TaskCard, backbone: Backbone) -> None:
        super().__init__()
        if task.outputs != backbone.shape[0]:
            raise BadInput(
                f"task `{task.name}` restores {task.outputs} channel(s), but this backbone corrects"
                f" images of {backbone.shape[0]}. Choose another backbone."
            )
        assert backbone.map_shape is not None  # holds for all backbones with this head
        self.correct = nn.Conv2d(backbone.map_shape[0], task.outputs, 3, padding=1, bias=False)

    def forward(self, features: Tensor, images: Tensor | None = None) -> Tensor:
        """(B, C, H, W) features and (B, outputs, H, W) images -> images."""
        if images is None:
            raise BadInput(
                "this backbone corrects the input image, but this architecture does not pass the"
                " image to its heads. Choose another architecture."
            )
        out: Tensor = self.correct(features)
        return images + out


def apply_head(head: Any, features: Tensor, images: Tensor) -> Tensor:
    """Apply a head to the features; a `Correction` also gets the images."""
    out: Tensor = head(features, images) if isinstance(head, Correction) else head(features)
    return out
