"""Settings of a trial that are right alone and wrong together, told before its first step."""

from __future__ import annotations

import math
from typing import Any

from mtsearch.balancing import Balancing
from mtsearch.balancing.schedules import TaskSchedule
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.schema import CoefficientSparsity, TrialConfig
from mtsearch.models import MultiTaskModel
from mtsearch.sparsity import AFFINITY_LIMIT
from mtsearch.training.optimizers import part_of


def check_multipliers(config: TrialConfig, model: MultiTaskModel) -> None:
    """A multiplier other than 1 needs a part of the network to act on; one of 1 may name a part that only other architectures have."""
    parts = {part_of(name) for name, _ in model.named_parameters()}
    for part, value in config.lr_multipliers.items():
        if part not in parts and value != 1:
            raise BadInput(
                f"`trial.lr_multipliers.{part}` is {value:g}, but the architecture {config.architecture.name} has no such part. "
                f"{nearest(part, parts)}"
            )


def check_affinity(model: MultiTaskModel, sparsity: Any) -> None:
    """Affinity propagation takes few rows: refused before the search phase, not after it."""
    share = getattr(sparsity, "share", None)
    if share is None or share.method != "affinity":
        return
    kept = 1 - (sparsity.layer_cap if isinstance(sparsity, CoefficientSparsity) else sparsity.target)
    for name in model.prunable:
        rows = model.get_submodule(name).weight.shape[1]  # type: ignore[union-attr, index]
        if rows * kept > AFFINITY_LIMIT:
            raise BadInput(
                f"`trial.sparsity.share.method` is affinity, which takes up to {AFFINITY_LIMIT:,} rows a layer. Found at least "
                f"{math.floor(rows * kept):,} in `{name}`. Use `complete`."
            )


def check_idle(config: TrialConfig, schedule: TaskSchedule) -> None:
    """Idle parameters need steps that leave a task out."""
    every = tuple(range(len(schedule.names)))
    if config.idle == "drift" and all(group == every for group in schedule.groups):
        raise BadInput(
            f"`trial.idle` is drift, but no task is ever idle: `trial.task_schedule` is {config.task_schedule.name}, whose steps train all "
            "tasks. Leave `idle` out or use another schedule."
        )


def check_balancing(config: TrialConfig, balancing: Balancing, schedule: TaskSchedule, model: MultiTaskModel, common: bool) -> None:
    """A balancing method needs losses of all tasks in each step, and a gradient method something that the tasks share.

    Args:
        config: the configuration, for the names in the sentences.
        balancing: the method.
        schedule: whose steps it balances.
        model: the network.
        common: whether all tasks of a step have common images.
    """
    name, every = config.balancing.name, tuple(range(len(schedule.names)))
    if not balancing.subsets and any(group != every for group in schedule.groups):
        raise BadInput(
            f"`trial.balancing` is {name}, which balances steps on all tasks, but `trial.task_schedule` is {config.task_schedule.name}, "
            "whose steps train one task. Use `linear` or the schedule `joint`."
        )
    if balancing.level == "loss":
        return
    if not model.shared_parameters():
        raise BadInput(
            f"`trial.balancing` is {name}, which weighs gradients of shared parameters, but `trial.architecture` is "
            f"{config.architecture.name}, which shares none. Use `linear` or another architecture."
        )
    if balancing.level == "feature" and model.separate:
        raise BadInput(
            f"`trial.balancing` is {name} at `level: feature`, which weighs gradients of features that tasks share, but with "
            f"`trial.architecture.norm` {config.architecture.norm} every task has features of its own. Use `level: parameter`."
        )
    if balancing.level == "feature" and not common:
        raise BadInput(
            f"`trial.balancing` is {name} at `level: feature`, which needs images that all tasks have in common; this dataset has none. "
            "Use `level: parameter`."
        )
