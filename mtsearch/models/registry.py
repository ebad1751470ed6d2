"""Building a network from the settings of its architecture and its backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from mtsearch.config.base import Model
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.registry import implementation_of, implements
from mtsearch.models.base import Backbone, MultiTaskModel

ArchitectureBuilder = Callable[[Any, Backbone, Sequence[TaskCard]], MultiTaskModel]
BackboneBuilder = Callable[[Any, tuple[int, int, int]], Backbone]

architecture = implements
"""Register the builder ``(settings, backbone, tasks) -> MultiTaskModel`` of a settings class."""
backbone = implements
"""Register the builder ``(settings, (C, H, W)) -> Backbone`` of a settings class."""


def build_model(
    architecture: Model, backbone: Model, tasks: Sequence[TaskCard], shape: tuple[int, int, int]
) -> MultiTaskModel:
    """A freshly initialised network (from torch's global generator) for these tasks on images of
    `shape` (channels, height, width).

    Raises:
        BadInput: no task, a task name that cannot name a module, equal names, a shape the backbone
            cannot take, settings without a builder.
    """
    _check_names(tasks)
    build: ArchitectureBuilder = implementation_of(architecture)
    return build(architecture, build_backbone(backbone, shape), tasks)


def build_backbone(settings: Model, shape: tuple[int, int, int]) -> Backbone:
    """The family of branches of a backbone for images of `shape`. Raises BadInput as `build_model`
    does."""
    build: BackboneBuilder = implementation_of(settings)
    return build(settings, shape)


def _check_names(tasks: Sequence[TaskCard]) -> None:
    names = [task.name for task in tasks]
    if not names or len(set(names)) < len(names):
        raise BadInput(
            f"a network needs at least one task and different task names. Found {names}."
        )
    for name in names:
        if (
            not name.isidentifier()
            or hasattr(nn.ModuleDict, name)
            or hasattr(nn.ModuleDict(), name)
        ):
            raise BadInput(
                f"task name `{name}` cannot name a part of a network; choose letters, digits and"
                f" underscores, such as `{name}_task`."
            )
