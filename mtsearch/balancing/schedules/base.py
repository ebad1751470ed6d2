"""Base class of all task schedules, and their construction from settings."""

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
    """The number of images and the batch size of one pass through a group's training images."""

    images: int
    batch_size: int

    @property
    def batches(self) -> int:
        """Batches of one pass, including the last one, which may be smaller."""
        return -(-self.images // self.batch_size)


class TaskSchedule(ABC):
    """Determines which tasks each step of an epoch trains. It has its own random generator, so that
    equal seeds give equal sequences.

    Args:
        settings: the settings model for which this schedule was registered.
        names: the names of the K tasks, in order.
    """

    def __init__(self, settings: Any, names: Sequence[str]) -> None:
        self.settings = settings
        self.names = tuple(names)
        self.groups: tuple[Group, ...] = tuple((k,) for k in range(len(names)))
        """Every group of tasks that a step may train."""

    @abstractmethod
    def epoch(self, streams: Mapping[Group, Stream], generator: torch.Generator) -> list[Group]:
        """Return the groups of the steps of one epoch, in order.

        Args:
            streams: by group, the images and the batch size of one pass.
            generator: the schedule's generator, the source of all its random numbers.
        """

    @abstractmethod
    def steps_per_epoch(self, streams: Mapping[Group, Stream]) -> int:
        """Return the number of steps of an epoch, at least 1. If it is random, this is the rounded
        mean."""

    def _each(self, values: Mapping[str, float], key: str) -> list[float]:
        """Return one value per task from a mapping by name. Raises BadInput for a missing or
        unknown task."""
        for name in values:
            if name not in self.names:
                raise BadInput(
                    f"`trial.task_schedule.{key}` should name tasks of the dataset. Found"
                    f" `{name}`. {nearest(name, self.names)}"
                )
        for name in self.names:
            if name not in values:
                raise BadInput(
                    f"`trial.task_schedule.{key}` should have a value for every task. Found none"
                    f" for `{name}`."
                )
        return [values[name] for name in self.names]


task_schedule = implements
"""Register the task schedule of a settings class."""


def build_schedule(settings: Model, names: Sequence[str]) -> TaskSchedule:
    """Build the task schedule that `settings` (a settings model of kind ``task_schedule``) select,
    over the tasks `names`.

    Raises:
        BadInput: `settings` has no schedule, or names a task that is not in `names`.
    """
    schedule: type[TaskSchedule] = implementation_of(settings)
    return schedule(settings, names)
