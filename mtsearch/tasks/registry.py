"""Registry of the losses and meters of task kinds. A kind is one file, which declares its metrics
and registers losses and a meter here and a head with `mtsearch.models.head`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.registry import Registry

Loss = Callable[[TaskCard, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(task, raw output, target) -> sum of the losses over all labelled entries and their number, both
scalars on the output's device."""


class Meter(Protocol):
    """Accumulates the metrics of a task over batches.

    `totals` is summed over ranks before `compute`, which returns every metric that the kind
    declared, NaN if nothing was labelled. A meter may have a method `by_class` for metrics of
    single classes; these are part of the test metrics, not of reports. A method `table` returns
    counts: a confusion matrix (classes, classes) whose rows are the true classes, or (tags, 4) with
    true positives, false positives, false negatives and labels of each tag.
    """

    totals: Tensor

    def update(self, output: Tensor, target: Tensor) -> None: ...

    def compute(self) -> dict[str, float]: ...


L = TypeVar("L", bound=Loss)
M = TypeVar("M", bound=Callable[[TaskCard, torch.device], Any])

_LOSSES: dict[str, Registry[str, Loss]] = {}
_METERS: Registry[str, Callable[[TaskCard, torch.device], Meter]] = Registry(
    "meter of the task kind"
)


def loss(kind: str, name: str) -> Callable[[L], L]:
    """Register a loss of a task kind by its name: ``@loss("regression", "mse")``. The first loss of
    a kind is its default."""

    return _LOSSES.setdefault(kind, Registry(f"loss of {kind}")).register(name)


def meter(kind: str) -> Callable[[M], M]:
    """Register the meter of a task kind, a class made from the task's card and a device:
    ``@meter("regression")``."""

    return _METERS.register(kind)


def task_loss(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the losses of raw outputs over all labelled entries, and their number, both scalars on
    the output's device.

    Sums allow batches and ranks to have different numbers of labels. The loss is the one that the
    card names, else the kind's first.

    Raises:
        BadInput: the kind has no loss, or the loss is unknown.
    """
    return loss_of(task)(task, output, target)


def loss_of(task: TaskCard) -> Loss:
    """The loss that a task is trained with. Raises BadInput if the kind has no loss or the loss is
    unknown."""
    if task.kind not in _LOSSES:
        raise BadInput(
            f"task `{task.name}` is of a kind without a loss: `{task.kind}`. Register one with"
            " `mtsearch.tasks.loss`."
        )
    named = _LOSSES[task.kind]
    if task.loss is not None and task.loss not in named:
        raise BadInput(
            f"task `{task.name}` has an unknown loss of {task.kind}: `{task.loss}`."
            f" {named.suggest(task.loss)}"
        )
    return named[next(iter(named)) if task.loss is None else task.loss]


def meter_for(task: TaskCard, device: torch.device) -> Meter:
    """A new meter for the task's kind. Raises BadInput if the kind has none."""
    if task.kind not in _METERS:
        raise BadInput(
            f"task `{task.name}` is of a kind without a meter: `{task.kind}`. Register one with"
            " `mtsearch.tasks.meter`."
        )
    return _METERS[task.kind](task, device)
