"""Heads, which map the features of a branch to the raw outputs of a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.registry import Registry
from mtsearch.models.base import Backbone, Need

HeadBuilder = Callable[[TaskCard, Backbone], nn.Module]
H = TypeVar("H", bound=HeadBuilder)

_HEADS: Registry[str, HeadBuilder] = Registry("head of the task kind")
_NEEDS: dict[str, Need] = {}


def head(kind: str, *, need: Need) -> Callable[[H], H]:
    """Register the builder ``(task, backbone) -> Module`` of the head of a task kind, such as
    ``@head("classification", need="vector")``.

    Args:
        kind: the task kind.
        need: whether the head reads the feature vector or the feature map.
    """

    def register(builder: H) -> H:
        _HEADS.add(kind, builder)
        _NEEDS[kind] = need
        return builder

    return register


@head("multilabel", need="vector")
@head("classification", need="vector")
def linear_head(task: TaskCard, backbone: Backbone) -> nn.Module:
    """Feature vector (B, width) -> (B, outputs): logits of classes or tags."""
    return nn.Linear(backbone.width, task.outputs)


class ScaledLinear(nn.Module):
    """A linear layer whose standardised outputs are returned in the unit of the labels:
    std * linear(x) + mean, in float32.

    Args:
        width: of the feature vector.
        mean, std: of the labels, for each output.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.linear = nn.Linear(width, len(mean))
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x)
        precise = torch.promote_types(out.dtype, torch.float32)
        return out.to(precise) * self.std + self.mean

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *others: Any) -> None:
        """Read the plain linear layer of older checkpoints, too, whose outputs are in the unit of
        the labels."""
        if f"{prefix}weight" in state:
            for name in ("weight", "bias"):
                state[f"{prefix}linear.{name}"] = state.pop(f"{prefix}{name}")
            state[f"{prefix}mean"] = torch.zeros_like(self.mean)
            state[f"{prefix}std"] = torch.ones_like(self.std)
        super()._load_from_state_dict(state, prefix, *others)  # type: ignore[no-untyped-call]


@head("regression", need="vector")
def regression_head(task: TaskCard, backbone: Backbone) -> nn.Module:
    """Feature vector (B, width) -> (B, outputs): numbers in the unit of the labels."""
    if not task.target_std:
        return nn.Linear(backbone.width, task.outputs)
    return ScaledLinear(backbone.width, task.target_mean, task.target_std)


@head("ordinal", need="vector")
def threshold_head(task: TaskCard, backbone: Backbone) -> nn.Module:
    """Feature vector (B, width) -> (B, outputs - 1): logits of "above class k"."""
    if task.outputs < 2:
        raise BadInput(f"task `{task.name}` should have two classes or more. Found 1.")
    return nn.Linear(backbone.width, task.outputs - 1)


@head("depth", need="map")
@head("normals", need="map")
@head("segmentation", need="map")
def segmentation_head(task: TaskCard, backbone: Backbone) -> nn.Module:
    """Feature map (B, C, h, w) -> class logits, depths or vectors (B, outputs, H, W) at the size of
    the images, by convolutions and bilinear upsampling."""
    if backbone.map_shape is None:
        raise BadInput(
            f"task `{task.name}`, a {task.kind}, needs a feature map, but this backbone has none."
            " Choose a convolutional backbone."
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
    """Return whether the head of this task reads the feature vector or the feature map."""
    return _registered(task)[0]


def build_head(task: TaskCard, backbone: Backbone) -> nn.Module:
    """Build the head of a task on the features of this backbone. `head_layers` finds it in a
    network."""
    built = backbone.heads.get(task.kind, _registered(task)[1])(task, backbone)
    built.is_head = True  # type: ignore[assignment]
    return built


def head_layers(model: nn.Module) -> set[nn.Module]:
    """Return the modules of all heads in `model` that `build_head` built."""
    heads = [m for m in model.modules() if getattr(m, "is_head", False)]
    return {module for head in heads for module in head.modules()}


def _registered(task: TaskCard) -> tuple[Need, HeadBuilder]:
    if task.kind not in _HEADS:
        raise BadInput(
            f"task `{task.name}` should be of a kind with a head. Found `{task.kind}`. Register a"
            " head with `mtsearch.models.head`."
        )
    return _NEEDS[task.kind], _HEADS[task.kind]
