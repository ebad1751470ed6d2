"""The contract of all task schedules, and how one is found from its settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mtsearch.config.base import Model
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.registry import implementation_of, implements

Group = tuple[int, ...]
"""The indices of the tasks that one step trains."""


@dataclass(frozen=True)
class Stream:
    """What one pass through a group's training images is: how many images, in batches of which
    size."""

    images: int
    batch_size: int

    @property
    def batches(self) -> int:
        """Batches of one pass, the last, smaller one included."""
        return -(-self.images // self.batch_size)


class TaskSchedule(ABC):
    """Says which tasks each step of an epoch trains, from its own random stream: the same seed
    gives the same sequence.

    Args:
        settings: the settings model this schedule was registered for.
        names: the K tasks' names, in order.
    """

    def __init__(self, settings: Any, names: Sequence[str]) -> None:
        self.settings = settings
        self.names = tuple(names)
        self.groups: tuple[Group, ...] = tuple((k,) for k in range(len(names)))
        """Every group of tasks that a step may train."""

    @abstractmethod
    def epoch(self, streams: Mapping[Group, Stream], generator: torch.Generator) -> list[Group]:
        """The groups of one epoch's steps, in order.

        Args:
            streams: what a pass through each group's images is.
            generator: the schedule's own; what is random is drawn from it.
        """

    @abstractmethod
    def steps_per_epoch(self, streams: Mapping[Group, Stream]) -> int:
        """Steps of an epoch, where they vary on average, rounded; at least 1."""

    def _each(self, values: Mapping[str, float], key: str) -> list[float]:
        """One value a task from a mapping by name. Raises BadInput for a task that is missing or
        unknown."""
        for name in values:
            if name not in self.names:
                raise BadInput(
                    f"`trial.task_schedule.{key}` names no task of the dataset: `{name}`."
                    f" {nearest(name, self.names)}"
                )
        for name in self.names:
            if name not in values:
                raise BadInput(
                    f"`trial.task_schedule.{key}` should give every task a value. Found none for"
                    f" `{name}`."
                )
        return [values[name] for name in self.names]


task_schedule = implements
"""Register the task schedule of a settings class."""


def build_schedule(settings: Model, names: Sequence[str]) -> TaskSchedule:
    """The task schedule that `settings` (a settings model of kind ``task_schedule``) asks for, over
    the tasks `names`.

    Raises:
        BadInput: `settings` has no schedule, or names tasks that the dataset lacks.
    """
    schedule: type[TaskSchedule] = implementation_of(settings)
    return schedule(settings, names)
