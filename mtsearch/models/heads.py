"""Heads: from a branch's features to a task's raw outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.registry import Registry
from mtsearch.models.base import Backbone, Need

HeadBuilder = Callable[[TaskCard, Backbone], nn.Module]
H = TypeVar("H", bound=HeadBuilder)

_HEADS: Registry[str, HeadBuilder] = Registry("head of the task kind")
_NEEDS: dict[str, Need] = {}


def head(kind: str, *, need: Need) -> Callable[[H], H]:
    """Register the builder `(task, backbone) -> Module` of a task kind's head, which reads a
    branch's feature vector or feature map: ``@head("classification", need="vector")``."""

    def register(builder: H) -> H:
        _HEADS.add(kind, builder)
        _NEEDS[kind] = need
        return builder

    return register


@head("regression", need="vector")
@head("classification", need="vector")
def linear_head(task: TaskCard, backbone: Backbone) -> nn.Module:
    """Feature vector (B, width) -> (B, outputs): class logits or regressed scalars."""
    return nn.Linear(backbone.width, task.outputs)


@head("segmentation", need="map")
def segmentation_head(task: TaskCard, backbone: Backbone) -> nn.Module:
    """Feature map (B, C, h, w) -> class logits (B, outputs, H, W) at the images' size: small
    convolutions and bilinear upsampling."""
    if backbone.map_shape is None:
        raise BadInput(
            f"task `{task.name}` is a segmentation, but this backbone has no feature map; choose a"
            " convolutional backbone."
        )
    channels, height, width = backbone.map_shape
    hidden = min(channels, 64)
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 3, padding=1),
        nn.ReLU(),
        nn.Upsample(size=(2 * height, 2 * width), mode="bilinear", align_corners=False),
        nn.Conv2d(hidden, hidden, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(hidden, task.outputs, 1),
        nn.Upsample(size=backbone.shape[1:], mode="bilinear", align_corners=False),
    )


def need_of(task: TaskCard) -> Need:
    """What the head of this task reads: the feature vector or the feature map."""
    return _registered(task)[0]


def build_head(task: TaskCard, backbone: Backbone) -> nn.Module:
    """The head of a task on features of this backbone. `head_layers` finds its layers in a
    network."""
    built = backbone.heads.get(task.kind, _registered(task)[1])(task, backbone)
    built.is_head = True  # type: ignore[assignment]
    return built


def head_layers(model: nn.Module) -> set[nn.Module]:
    """The modules of all heads in `model` that `build_head` made."""
    heads = [m for m in model.modules() if getattr(m, "is_head", False)]
    return {module for head in heads for module in head.modules()}


def _registered(task: TaskCard) -> tuple[Need, HeadBuilder]:
    if task.kind not in _HEADS:
        raise BadInput(
            f"task `{task.name}` is of a kind without a head: `{task.kind}`. Register one with"
            " `mtsearch.models.head`."
        )
    return _NEEDS[task.kind], _HEADS[task.kind]
