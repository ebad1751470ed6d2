"""Which class builds which settings. A plug-in registers its settings with
`mtsearch.config.base.method` and its builder here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from torch import nn

from mtsearch.config.base import Model, claim
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models.base import Backbone, MultiTaskModel

ArchitectureBuilder = Callable[[Any, Backbone, Sequence[TaskCard]], MultiTaskModel]
BackboneBuilder = Callable[[Any, tuple[int, int, int]], Backbone]
A = TypeVar("A", bound=ArchitectureBuilder)
B = TypeVar("B", bound=BackboneBuilder)

_ARCHITECTURES: dict[type[Model], ArchitectureBuilder] = {}
_BACKBONES: dict[type[Model], BackboneBuilder] = {}


def architecture(settings: type[Model]) -> Callable[[A], A]:
    """Register the builder `(settings, backbone, tasks) -> MultiTaskModel` of an architecture's
    settings class."""

    def register(builder: A) -> A:
        claim(_ARCHITECTURES, settings, builder, "architecture of")
        return builder

    return register


def backbone(settings: type[Model]) -> Callable[[B], B]:
    """Register the builder `(settings, (C, H, W)) -> Backbone` of a backbone's settings class."""

    def register(builder: B) -> B:
        claim(_BACKBONES, settings, builder, "backbone of")
        return builder

    return register


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
    _check_registered("architecture", _ARCHITECTURES, architecture)
    return _ARCHITECTURES[type(architecture)](architecture, build_backbone(backbone, shape), tasks)


def build_backbone(settings: Model, shape: tuple[int, int, int]) -> Backbone:
    """The family of branches of a backbone for images of `shape`. Raises BadInput as `build_model`
    does."""
    _check_registered("backbone", _BACKBONES, settings)
    return _BACKBONES[type(settings)](settings, shape)


def _check_registered(kind: str, table: Mapping[type[Model], Any], settings: Model) -> None:
    if type(settings) not in table:
        raise BadInput(
            f"no {kind} is registered for the settings `{type(settings).__name__}`; decorate its"
            f" builder with `mtsearch.models.{kind}`."
        )


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
