"""Base class of formulations, and their construction from settings."""

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
    """Derives auxiliary tasks from copies of the target.

    Args:
        settings: the settings model for which this formulation was registered.
        config: the trial's configuration.
        data: the dataset of the target and its location.
    """

    def __init__(self, settings: Any, config: TrialConfig, data: DataConfig) -> None:
        self.settings = settings
        self.config = config
        self.data = data

    def check(self, target: TaskCard, card: DatasetCard) -> None:
        """Raise BadInput if this formulation does not support the target of this dataset, as far as
        this can be determined without images."""
        del target, card  # most formulations support every target

    @abstractmethod
    def derive(self, task: Task, noise: torch.Generator) -> Task:
        """Return the auxiliary task with number `task.key` (from 1).

        It must not train on images of `task.hold_out` or `task.select`, nor on images of the
        target's split that are not in `task.train`.

        Args:
            task: a copy of the target with the hold-out and training images of the auxiliary task.
            noise: the task's own random generator, the source of all random numbers, so that a task
                does not depend on the number of tasks.

        Raises:
            BadInput: the formulation does not support the target.
        """


formulation = implements
"""Register the formulation of a settings class."""


def build_formulation(config: TrialConfig, data: DataConfig) -> Formulation:
    """Build the formulation that `config.population.formulation` selects. Raises BadInput if the
    settings have no class."""
    settings = config.mto.formulation
    found: type[Formulation] = implementation_of(settings)
    return found(settings, config, data)


def need_classes(target: TaskCard, name: str) -> None:
    """Raise BadInput unless the target is a classification."""
    if target.kind != "classification":
        raise BadInput(
            f"`trial.population.formulation: {name}` needs a target with classes. Found"
            f" `{target.name}`, a {target.kind}. Use another formulation, such as `holdout`."
        )
