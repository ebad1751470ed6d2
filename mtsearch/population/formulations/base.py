"""The contract of formulations, and the registry of their settings classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch

from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.registry import implementation_of, implements
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.population.task import Task


class Formulation(ABC):
    """Makes an auxiliary task of what it would be as a copy of the target.

    Args:
        settings: the settings model this formulation was registered for.
        config: the trial's configuration.
        data: where the target's data come from.
    """

    def __init__(self, settings: Any, config: TrialConfig, data: DataConfig) -> None:
        self.settings = settings
        self.config = config
        self.data = data

    def check(self, target: TaskCard, card: DatasetCard) -> None:
        """Raises BadInput where a target of this dataset allows no such task, as far as that shows
        without its images."""
        del target, card  # most formulations go with any

    @abstractmethod
    def derive(self, task: Task, noise: torch.Generator) -> Task:
        """The auxiliary task `task.key` (from 1) made of a copy of the target with hold-out and
        training images of its own.

        All that is random comes from `noise`, which is the task's own stream, so that a task is the
        same among however many others. It must not train on images of `task.hold_out` or
        `task.select`, nor on any of the target's split outside `task.train`. Raises BadInput where
        the target allows no such task.
        """


formulation = implements
"""Register the formulation of a settings class."""


def build_formulation(config: TrialConfig, data: DataConfig) -> Formulation:
    """The formulation that `config.population.formulation` asks for. Raises BadInput for settings
    without a class."""
    settings = config.mto.formulation
    found: type[Formulation] = implementation_of(settings)
    return found(settings, config, data)


def need_classes(target: TaskCard, name: str) -> None:
    """Raise BadInput unless the target is a classification."""
    if target.kind != "classification":
        raise BadInput(
            f"`trial.population.formulation` is {name}, which needs a target with classes. Found"
            f" `{target.name}`, a {target.kind}. Use another formulation, such as holdout."
        )
