"""Which report of a trial is its row and its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.schema import CoefficientSparsity, TrialConfig


def check_selection(config: TrialConfig, tasks: Sequence[TaskCard]) -> None:
    """Raises BadInput where `trial.select` names neither a rule nor a task."""
    known = ("best", "last", *(task.name for task in tasks))
    if config.select not in known:
        raise BadInput(f"`trial.select` should be best, last or a task. Found `{config.select}`. {nearest(config.select, known)}")


def score(config: TrialConfig, phase: str, report: Mapping[str, Any], tasks: Sequence[TaskCard]) -> tuple[float, float]:
    """How good a report is, smaller being better, ties to the earliest: the mean validation error, or that of one task.

    A search phase hands on its last report, where the target is met; in coefficient mode its best that is sparse enough.
    """
    chosen = [task for task in tasks if config.select in ("best", task.name)] or list(tasks)
    errors = [report[f"val/{task.name}/error"] for task in chosen]
    mean, latest = sum(errors) / len(errors), -float(report["report"])
    if phase == "search":
        if isinstance(config.sparsity, CoefficientSparsity):
            return int(report["model/sparsity_rate"] < config.sparsity.min_rate), mean
        return 0, latest
    return (0, latest) if config.select == "last" else (0, mean)
