"""Errors of all tasks together, and the units in which errors of different tasks are compared."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence

from mtsearch.config.cards import TaskCard
from mtsearch.config.metrics import percentages
from mtsearch.data import Dataset
from mtsearch.data.stored import in_memory
from mtsearch.tasks import unit_of_error


class ErrorUnits:
    """By task, the validation error of the constant predictor, which a relative error is divided
    by.

    Args:
        dataset: the open dataset, of whose validation split only the labels are read.
        tasks: the cards of the tasks that are compared.
    """

    def __init__(self, dataset: Dataset, tasks: Sequence[TaskCard]) -> None:
        self._tasks = tuple(tasks)
        labels = dataset.splits["val"].labels
        self._units = {
            task.name: unit_of_error(task, in_memory(labels[task.name])) for task in tasks
        }
        self._plain = percentages(task.kind for task in dataset.card.tasks)

    def relative(self, task: str, error: float) -> float:
        """The error of a task divided by that of the constant predictor: 1 is as good as no image
        at all, 0 is perfect."""
        return error / self._units[task]

    def mean(self, metrics: Mapping[str, float], tasks: Sequence[str], split: str = "val") -> float:
        """The mean relative error of some tasks in the entries ``<split>/<task>/error``."""
        found = [self.relative(name, metrics[f"{split}/{name}/error"]) for name in tasks]
        return sum(found) / len(found)

    def aggregates(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Compute ``mean/error``, ``worst/error`` and ``spread/error`` (worst minus best) from
        ``<task>/error`` of all tasks: of plain errors where all are percentages, else of relative
        ones."""
        errors = [
            metrics[f"{task.name}/error"]
            if self._plain
            else self.relative(task.name, metrics[f"{task.name}/error"])
            for task in self._tasks
        ]
        return {
            "mean/error": sum(errors) / len(errors),
            "worst/error": max(errors),
            "spread/error": max(errors) - min(errors),
        }


def error_units(dataset: Dataset, tasks: Sequence[TaskCard]) -> ErrorUnits:
    """The units of an open dataset, computed once for all trials of the process."""
    known = _KNOWN.get(id(dataset))
    key = tuple(task.name for task in tasks)
    if known is None or known[0]() is not dataset:  # another object had this id
        known = _KNOWN[id(dataset)] = (weakref.ref(dataset), {})
    if key not in known[1]:
        known[1][key] = ErrorUnits(dataset, tasks)
    return known[1][key]


_KNOWN: dict[int, tuple[weakref.ref[Dataset], dict[tuple[str, ...], ErrorUnits]]] = {}
