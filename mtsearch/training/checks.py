"""Settings of a trial that are right alone and wrong together, or wrong for a dataset, told before
its first step.

A trial holds what it is made of against `check_parts` and `check_images`; `check_trial` does so
before there is a trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from mtsearch.balancing import Balancing, build_balancing
from mtsearch.balancing.schedules import Stream, TaskSchedule, build_schedule
from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.schema import CoefficientSparsityConfig, TrialConfig
from mtsearch.data import Split
from mtsearch.models import MultiTaskModel, build_model
from mtsearch.sparsity import AFFINITY_LIMIT
from mtsearch.tasks import loss_of
from mtsearch.training.loaders import ImagePools, batch_size_of
from mtsearch.training.optimizers import part_of
from mtsearch.training.preference import coefficient_of, weights_of
from mtsearch.training.randomness import fork_rng
from mtsearch.training.selection import check_selection
from mtsearch.training.teachers import teacher_config

Build = Callable[..., MultiTaskModel]


def check_trial(
    config: TrialConfig,
    card: DatasetCard,
    splits: Mapping[str, Split] | None = None,
    build: Build = build_model,
) -> None:
    """Raises BadInput for what no `Trial` of this configuration would train.

    Args:
        config: the configuration.
        card: the dataset.
        splits: its splits; None for what shows without them. Only the labels are looked at.
        build: makes the network, as `build_model`; of its parameters only names and shapes are
            looked at.
    """
    model = build(config.architecture, config.backbone, card.tasks, card.shape)
    schedule = build_schedule(config.task_schedule, [task.name for task in card.tasks])
    balancing = build_balancing(config.balancing, weights_of(config, card), coefficient_of(config))
    check_parts(config, card, schedule, balancing, model)
    if splits is not None:
        found = {name: ImagePools(split, card.tasks) for name, split in splits.items()}
        check_images(config, schedule, balancing, found)
        check_lone_images(
            config,
            card,
            [
                s
                for group in schedule.groups
                for s in found["train"].streams(group, config.batch_size)
            ],
        )
    taught = teacher_config(config)
    if taught is not None:
        check_trial(taught, card, splits, build)


def check_parts(
    config: TrialConfig,
    card: DatasetCard,
    schedule: TaskSchedule,
    balancing: Balancing,
    model: MultiTaskModel,
) -> None:
    """What shows without images. Raises BadInput."""
    for k, task in enumerate(card.tasks):
        loss_of(task)
        batch_size_of((k,), card.tasks, config.batch_size)
    check_affinity(model, config.sparsity)
    check_multipliers(config, model)
    check_idle(config, schedule)
    check_balancing(config, balancing, schedule, model)
    check_selection(config, card.tasks)


def check_images(
    config: TrialConfig,
    schedule: TaskSchedule,
    balancing: Balancing,
    pools: Mapping[str, ImagePools],
) -> None:
    """What shows by the images that the tasks have labels of, by split. Raises BadInput."""
    every = tuple(range(len(schedule.names)))
    for name, found in pools.items():
        groups = schedule.groups if name == "train" else (every,)
        try:
            common = found.common(groups)
        except BadInput as error:
            raise BadInput(f"in the split {name}, {error}") from None
        if name == "train":
            schedule.steps_per_epoch(found.passes(groups, config.batch_size))
            if balancing.level == "feature" and not common:
                raise BadInput(
                    f"`trial.balancing` is {config.balancing.name} at `level: feature`, which needs"
                    " images that all tasks have in common; this dataset has none. Use `level:"
                    " parameter`."
                )


def check_lone_images(config: TrialConfig, card: DatasetCard, streams: Iterable[Stream]) -> None:
    """The last batch of a pass may be one image, of which batch norm in training makes nothing
    where its map has shrunk to one pixel."""
    dropped = getattr(config.task_schedule, "drop_last", False)
    lone = next(
        (s for s in streams if s.batch_size == 1 or (s.images % s.batch_size == 1 and not dropped)),
        None,
    )
    if lone is None:
        return
    with fork_rng(config.seed), torch.no_grad():
        model = build_model(config.architecture, config.backbone, card.tasks, card.shape).train()
        try:
            model(torch.zeros(1, *card.shape))
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise BadInput(
                f"`trial.batch_size` {lone.batch_size} leaves a last batch of one image of"
                f" {lone.images:,}, of which this network's batch norm makes nothing, as its last"
                " maps have one pixel. Choose another one."
            ) from None


def check_multipliers(config: TrialConfig, model: MultiTaskModel) -> None:
    """A multiplier other than 1 needs a part of the network to act on; one of 1 may name a part
    that only other architectures have."""
    parts = {part_of(name) for name, _ in model.named_parameters()}
    for part, value in config.lr_multipliers.items():
        if part not in parts and value != 1:
            raise BadInput(
                f"`trial.lr_multipliers.{part}` is {value:g}, but the architecture"
                f" {config.architecture.name} has no such part. {nearest(part, parts)}"
            )


def check_affinity(model: MultiTaskModel, sparsity: Any) -> None:
    """Affinity propagation takes few rows: refused before the search phase, not after it."""
    share = getattr(sparsity, "share", None)
    if share is None or share.method != "affinity":
        return
    kept = 1 - (
        sparsity.layer_cap if isinstance(sparsity, CoefficientSparsityConfig) else sparsity.target
    )
    for name in model.prunable:
        rows = model.get_submodule(name).weight.shape[1]  # type: ignore[index]
        if rows * kept > AFFINITY_LIMIT:
            raise BadInput(
                f"`trial.sparsity.share.method` is affinity, which takes up to {AFFINITY_LIMIT:,}"
                f" rows a layer. Found at least {math.floor(rows * kept):,} in `{name}`. Use"
                " `complete`."
            )


def check_idle(config: TrialConfig, schedule: TaskSchedule) -> None:
    """Idle parameters need steps that leave a task out."""
    every = tuple(range(len(schedule.names)))
    if config.idle == "drift" and all(group == every for group in schedule.groups):
        raise BadInput(
            "`trial.idle` is drift, but no task is ever idle: `trial.task_schedule` is"
            f" {config.task_schedule.name}, whose steps train all tasks. Leave `idle` out or use"
            " another schedule."
        )


def check_balancing(
    config: TrialConfig, balancing: Balancing, schedule: TaskSchedule, model: MultiTaskModel
) -> None:
    """A balancing method needs losses of all tasks in each step, and a gradient method something
    that the tasks share.

    Args:
        config: the configuration, for the names in the sentences.
        balancing: the method.
        schedule: whose steps it balances.
        model: the network.
    """
    name, every = config.balancing.name, tuple(range(len(schedule.names)))
    if not balancing.subsets and any(group != every for group in schedule.groups):
        raise BadInput(
            f"`trial.balancing` is {name}, which balances steps on all tasks, but"
            f" `trial.task_schedule` is {config.task_schedule.name}, whose steps train one task."
            " Use `linear` or the schedule `joint`."
        )
    if balancing.level == "loss":
        return
    if not model.shared_parameters():
        raise BadInput(
            f"`trial.balancing` is {name}, which weighs gradients of shared parameters, but"
            f" `trial.architecture` is {config.architecture.name}, which shares none. Use `linear`"
            " or another architecture."
        )
    if balancing.level == "feature" and model.separate:
        raise BadInput(
            f"`trial.balancing` is {name} at `level: feature`, which weighs gradients of features"
            f" that tasks share, but with {_apart(config)} every task has features of its own. Use"
            " `level: parameter`."
        )


def _apart(config: TrialConfig) -> str:
    norm = getattr(config.architecture, "norm", "shared")
    return (
        f"`trial.architecture` {config.architecture.name}"
        if norm == "shared"
        else f"`trial.architecture.norm` {norm}"
    )
