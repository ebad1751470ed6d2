"""Checks of a trial's settings against each other and against the dataset, before its first step.

A trial calls `check_parts` and `check_images` when it is built; `check_trial` makes the same checks
without building a trial.
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
from mtsearch.config.pareto_sets import ConditionedConfig, ParetoSetConfig, SparsityLadderConfig
from mtsearch.config.preferences import simplex_grid
from mtsearch.config.schema import CoefficientSparsityConfig, NoSparsityConfig, TrialConfig
from mtsearch.data import Split
from mtsearch.data.transforms import is_active
from mtsearch.models import MultiTaskModel, build_grouped, build_model
from mtsearch.sparsity import AFFINITY_LIMIT
from mtsearch.tasks import check_geometry, check_size, loss_of
from mtsearch.training.conditioned import check_biases
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
    """Raise BadInput if no `Trial` of this configuration can be trained.

    Args:
        config: the configuration.
        card: the card of the dataset.
        splits: the splits of the dataset, of which only the labels are used; None to make only the
            checks that do not need them.
        build: builds the network, as `build_model`; only the names and shapes of its parameters
            are used.
    """
    model = build_grouped(
        config.architecture, config.backbone, card.tasks, card.shape, config.groups, build
    )
    schedule = build_schedule(config.task_schedule, [task.name for task in card.tasks])
    balancing = build_balancing(config.balancing, weights_of(config, card), coefficient_of(config))
    check_parts(config, card, schedule, balancing, model)
    if splits is not None:
        check_augment(config, splits["train"])
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
    teachers = teacher_config(config)
    if teachers is not None:
        check_trial(teachers, card, splits, build)
    if config.parent is not None:
        check_trial(config.parent, card, splits, build)
        check_shapes(config, config.parent, card, model, build)


def check_shapes(
    config: TrialConfig,
    parent: TrialConfig,
    card: DatasetCard,
    model: MultiTaskModel,
    build: Build = build_model,
) -> None:
    """Raise BadInput if a trial cannot begin with the weights of its parent, or its point."""
    backbone = parent.backbone
    if getattr(backbone, "tune", "all") != "all":  # the network without low-rank updates
        backbone = backbone.model_copy(update={"tune": "all"})
    other = build_grouped(
        parent.architecture, backbone, card.tasks, card.shape, parent.groups, build
    )
    mine, theirs = (
        {name: tuple(value.shape) for name, value in network.state_dict().items()}
        for network in (model, other)
    )
    wrong = next((name for name in (*mine, *theirs) if mine.get(name) != theirs.get(name)), None)
    if wrong is not None:
        raise BadInput(
            "`trial.start.config` should describe a network of the same shapes as the trial's:"
            f" `{wrong}` has shape {theirs.get(wrong, '(none)')} in the parent and"
            f" {mine.get(wrong, '(none)')} in the trial. Use the same architecture and backbone."
        )
    if config.start is not None and config.start.point is not None:
        count = points_of(parent, card)
        if config.start.point >= count:
            raise BadInput(
                f"`trial.start.point` should be less than {count}, the points of the parent. Found"
                f" {config.start.point}."
            )


def points_of(config: TrialConfig, card: DatasetCard) -> int:
    """The number of points that a configuration with `pareto_set` yields."""
    if isinstance(config.pareto_set, SparsityLadderConfig):
        return 1 + len(config.pareto_set.levels)
    assert isinstance(config.pareto_set, ParetoSetConfig)
    return len(simplex_grid(len(card.tasks), config.pareto_set.points))


def check_parts(
    config: TrialConfig,
    card: DatasetCard,
    schedule: TaskSchedule,
    balancing: Balancing,
    model: MultiTaskModel,
) -> None:
    """Make the checks that do not need images. Raises BadInput."""
    for k, task in enumerate(card.tasks):
        loss_of(task)
        check_size(task, card.shape)
        batch_size_of((k,), card.tasks, config.batch_size)
    check_geometry(card.tasks, config.augment)
    check_prunable(config, model)
    check_affinity(model, config.sparsity)
    check_multipliers(config, model)
    check_idle(config, schedule)
    check_balancing(config, balancing, schedule, model)
    check_selection(config, card.tasks)
    check_pareto_set(config, card, balancing)
    if isinstance(config.pareto_set, ConditionedConfig):
        check_conditioned(config.pareto_set, balancing, model)


def check_pareto_set(config: TrialConfig, card: DatasetCard, balancing: Balancing) -> None:
    """Raise BadInput if the tasks or the balancing method do not fit `trial.pareto_set`."""
    settings, count = config.pareto_set, len(card.tasks)
    if not isinstance(settings, ParetoSetConfig):
        return
    if count < 2:
        raise BadInput(
            f"`trial.pareto_set` needs at least 2 tasks, but {card.name} has {count}. Leave it out."
        )
    if settings.points < count:
        raise BadInput(
            f"`trial.pareto_set.points` should be at least {count}, one per task of {card.name}."
            f" Found {settings.points}."
        )
    if balancing.state_dict() or balancing.parameters():
        raise BadInput(
            f"`trial.pareto_set` needs a balancing method without a state, as each step has another"
            f" preference, but `trial.balancing: {config.balancing.name}` has one. Use `linear`,"
            " `chebyshev` or `smooth_chebyshev`."
        )


def check_conditioned(
    settings: ConditionedConfig, balancing: Balancing, model: MultiTaskModel
) -> None:
    """Raise BadInput if the network or the balancing method does not fit the settings."""
    check_biases(model)
    if settings.cosine and balancing.level != "loss":
        raise BadInput(
            "`trial.pareto_set.cosine` needs a balancing method that combines losses. Found"
            f" `{balancing.settings.name}`, which combines gradients. Set it to 0 or use `linear`."
        )


def check_images(
    config: TrialConfig,
    schedule: TaskSchedule,
    balancing: Balancing,
    pools: Mapping[str, ImagePools],
) -> None:
    """Make the checks that depend on which images are labelled, given as pools by split. Raises
    BadInput."""
    every = tuple(range(len(schedule.names)))
    for name, found in pools.items():
        groups = schedule.groups if name == "train" else (every,)
        try:
            common = found.common(groups)
        except BadInput as error:
            raise BadInput(f"Split {name}: {error}") from None
        if name == "train":
            schedule.steps_per_epoch(found.passes(groups, config.batch_size))
            if balancing.level == "feature" and not common:
                raise BadInput(
                    f"`trial.balancing: {config.balancing.name}` with `level: feature` needs images"
                    " that are labelled for all tasks. This dataset has none. Use `level:"
                    " parameter`."
                )


def check_augment(config: TrialConfig, train: Split) -> None:
    """Raise BadInput if arrays should be augmented like images."""
    if is_active(config.augment) and train.images.dtype != torch.uint8:
        raise BadInput(
            "`trial.augment` moves and lights images of 8 bits, but the inputs of this dataset are"
            " arrays of numbers. Leave it out."
        )


def check_lone_images(config: TrialConfig, card: DatasetCard, streams: Iterable[Stream]) -> None:
    """Raise BadInput if the last batch of a pass has one image and the network has a batch norm on
    maps of one pixel, which needs more than one value per channel in training."""
    dropped = getattr(config.task_schedule, "drop_last", False)
    lone = next(
        (s for s in streams if s.batch_size == 1 or (s.images % s.batch_size == 1 and not dropped)),
        None,
    )
    if lone is None:
        return
    with fork_rng(config.seed), torch.no_grad():
        model = build_grouped(
            config.architecture, config.backbone, card.tasks, card.shape, config.groups
        ).train()
        try:
            model(torch.zeros(1, *card.shape))
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise BadInput(
                f"`trial.batch_size` {lone.batch_size} gives a last batch of one image for"
                f" {lone.images:,} images, but batch norm on the last maps of this network, which"
                " have one pixel, needs more than one. Choose another `batch_size`."
            ) from None


def check_multipliers(config: TrialConfig, model: MultiTaskModel) -> None:
    """Raise BadInput if a multiplier other than 1 names a part that the network does not have. A
    multiplier of 1 may name a part of other architectures."""
    parts = {part_of(name) for name, _ in model.named_parameters()}
    for part, value in config.lr_multipliers.items():
        if part not in parts and value != 1:
            raise BadInput(
                f"`trial.lr_multipliers.{part}` is {value:g}, but the architecture"
                f" `{config.architecture.name}` has no part `{part}`. {nearest(part, parts)}"
            )


def check_prunable(config: TrialConfig, model: MultiTaskModel) -> None:
    """Raise BadInput if the network has no layers that `trial.sparsity` could make sparse."""
    if not isinstance(config.sparsity, NoSparsityConfig) and not model.prunable:
        raise BadInput(
            "`trial.sparsity` needs layers whose input rows may become zero, but"
            f" `trial.architecture: {config.architecture.name}` has none. Use `sparsity: none`, or"
            " name layers of a network of your own in `architecture.sparse`."
        )


def check_affinity(model: MultiTaskModel, sparsity: Any) -> None:
    """Raise BadInput if layers have too many rows for affinity propagation, which runs only after
    the search phase."""
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
                "`trial.sparsity.share.method: affinity` supports at most"
                f" {AFFINITY_LIMIT:,} rows per layer. Found at least {math.floor(rows * kept):,} in"
                f" `{name}`. Use `complete`."
            )


def check_idle(config: TrialConfig, schedule: TaskSchedule) -> None:
    """Raise BadInput if `idle: drift` has no effect, because every step trains all tasks."""
    every = tuple(range(len(schedule.names)))
    if config.idle == "drift" and all(group == every for group in schedule.groups):
        raise BadInput(
            "`trial.idle: drift` has no effect, because every step of `trial.task_schedule:"
            f" {config.task_schedule.name}` trains all tasks. Leave `idle` out or use another"
            " schedule."
        )


def check_balancing(
    config: TrialConfig, balancing: Balancing, schedule: TaskSchedule, model: MultiTaskModel
) -> None:
    """Raise BadInput if the balancing method does not support the steps of the schedule, or if a
    gradient method has no shared parameters or features.

    Args:
        config: the configuration, for the names in the messages.
        balancing: the method.
        schedule: the task schedule.
        model: the network.
    """
    name, every = config.balancing.name, tuple(range(len(schedule.names)))
    if not balancing.subsets and any(group != every for group in schedule.groups):
        raise BadInput(
            f"`trial.balancing: {name}` needs steps that train all tasks, but each step of"
            f" `trial.task_schedule: {config.task_schedule.name}` trains one task. Use `linear` or"
            " the schedule `joint`."
        )
    trained = {
        id(p)
        for part, p in model.named_parameters()
        if p.requires_grad and config.lr_multipliers.get(part_of(part), 1) != 0
    }
    if not trained:
        raise BadInput(
            "`trial.lr_multipliers` freezes all parameters. Give a part a multiplier above 0."
        )
    if balancing.level == "loss":
        return
    if not model.shared_parameters():
        raise BadInput(
            f"`trial.balancing: {name}` needs shared parameters, but `trial.architecture:"
            f" {config.architecture.name}` has none. Use `linear` or another architecture."
        )
    if not any(id(p) in trained for p in model.shared_parameters()):
        raise BadInput(
            f"`trial.balancing: {name}` needs shared parameters that are trained, but all of them"
            " are frozen. Use `linear`, or train more of the trunk (`trial.backbone.tune`,"
            " `trial.lr_multipliers`)."
        )
    if balancing.level == "feature" and model.separate:
        raise BadInput(
            f"`trial.balancing: {name}` with `level: feature` needs features that tasks share, but"
            f" with {_separating_setting(config)} every task has its own features. Use `level:"
            " parameter`."
        )


def _separating_setting(config: TrialConfig) -> str:
    norm = getattr(config.architecture, "norm", "shared")
    return (
        f"`trial.architecture: {config.architecture.name}`"
        if norm == "shared"
        else f"`trial.architecture.norm: {norm}`"
    )
