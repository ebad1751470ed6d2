"""Construction of networks from the settings of their architecture and backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from mtsearch.config.base import Model
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.registry import implementation_of, implements
from mtsearch.config.tuning import Tune
from mtsearch.models.base import Backbone, MultiTaskModel
from mtsearch.models.resident import resident
from mtsearch.models.tuning import tune_

ArchitectureBuilder = Callable[[Any, Backbone, Sequence[TaskCard]], MultiTaskModel]
BackboneBuilder = Callable[[Any, tuple[int, ...]], Backbone]

architecture = implements
"""Register the builder ``(settings, backbone, tasks) -> MultiTaskModel`` of a settings class."""
backbone = implements
"""Register the builder ``(settings, (C, H, W)) -> Backbone`` of a settings class."""


def build_model(
    architecture: Model, backbone: Model, tasks: Sequence[TaskCard], shape: tuple[int, ...]
) -> MultiTaskModel:
    """Build a network and initialise it with torch's global generator.

    Args:
        architecture: the settings of the architecture.
        backbone: the settings of the backbone.
        tasks: the task cards, at least one.
        shape: of one example without the batch axis, of an image (channels, height, width).

    Returns:
        The network.

    Raises:
        BadInput: there is no task, names are equal or cannot name a module, the backbone does not
            support the shape, or settings have no builder.
    """
    _check_names(tasks)
    build: ArchitectureBuilder = implementation_of(architecture)
    return build(architecture, build_backbone(backbone, shape), tasks)


def build_backbone(settings: Model, shape: tuple[int, ...]) -> Backbone:
    """Build a backbone for examples of `shape`, of images (channels, height, width). Raises
    BadInput if it does not support the shape or the settings have no builder."""
    build: BackboneBuilder = implementation_of(settings)
    dims = getattr(settings, "input_dims", (3,))
    if dims and len(shape) not in dims:
        raise BadInput(
            f"`trial.backbone: {getattr(settings, 'name', '')}` does not read inputs of shape"
            f" {tuple(shape)}; its inputs have {' or '.join(map(str, dims))} axes without the batch"
            " axis. Choose another backbone."
        )
    backbone = resident(build, settings, shape)
    tune: Tune = getattr(settings, "tune", "all")  # a plug-in's settings may not have it
    if tune == "all":
        return backbone
    return replace(backbone, trunk=lambda needs: tune_(backbone.trunk(needs), tune))


def _check_names(tasks: Sequence[TaskCard]) -> None:
    names = [task.name for task in tasks]
    if not names or len(set(names)) < len(names):
        raise BadInput(f"a network needs at least one task and distinct task names. Found {names}.")
    for name in names:
        if (
            not name.isidentifier()
            or hasattr(nn.ModuleDict, name)
            or hasattr(nn.ModuleDict(), name)
        ):
            raise BadInput(
                f"task name `{name}` cannot be the name of a module. Use letters, digits and"
                f" underscores, such as `{name}_task`."
            )
