"""The tasks of a population: the target, and what its formulation makes of it."""

from __future__ import annotations

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.config.space import population_target
from mtsearch.data import Dataset
from mtsearch.population.formulations import build_formulation
from mtsearch.population.seeding import generator_of
from mtsearch.population.splits import split_indices
from mtsearch.population.task import Task


def build_tasks(config: TrialConfig, data: DataConfig, dataset: Dataset) -> list[Task]:
    """The target and its auxiliary tasks, by key. A task is the same among however many others.

    Raises:
        BadInput: the dataset has several tasks and none is named, too few images for a hold-out, or
            the formulation does not go with the target.
    """
    cards = {card.name: card for card in dataset.card.tasks}
    split, settings = dataset.splits["train"], config.mto
    card = cards[population_target(settings.target, list(cards), dataset.card.name)]
    labelled = split.labelled(card).nonzero().flatten()
    formulation = build_formulation(config, data)
    if settings.tasks > 1:
        formulation.check(card, dataset.card)
    tasks = []
    for key in keys(settings.tasks):
        parts = split_indices(len(labelled), settings, config.seed, key)
        if not len(parts.hold_out) or not len(parts.train):
            raise BadInput(
                "`trial.population.holdout_fraction` should leave images on both sides. Found"
                f" {settings.holdout_fraction} of {len(labelled)}. Raise it or `data.limit`."
            )
        train, hold_out, select = (labelled[index] for index in parts)
        task = Task(key, card, dataset, split, card.name, train, hold_out, select, config.optimizer)
        tasks.append(
            formulation.derive(task, generator_of(config.seed, "formulation", key)) if key else task
        )
    return tasks


def keys(count: int) -> list[int]:
    """The tasks' keys, the target's first."""
    return list(range(count))


def passes(task: Task, batch_size: int) -> int:
    """Steps of one pass through a task's training images."""
    return -(-len(task.train) // batch_size)


def with_interval_in_steps(config: TrialConfig, steps_per_epoch: int) -> TrialConfig:
    """The configuration with its rounds counted in steps. Raises BadInput when the budget is too
    small for one round."""
    settings = config.mto
    if settings.interval_unit == "steps":
        return config
    found = settings.model_copy(
        update={"interval": settings.interval * steps_per_epoch, "interval_unit": "steps"}
    )
    if found.budget is not None and found.budget < found.per_round:
        raise BadInput(
            "`trial.population.budget` should be at least one round, tasks x group_size x"
            f" {settings.interval} epochs of {steps_per_epoch} steps = {found.per_round}. Found"
            f" {found.budget}. Raise it or lower `interval`."
        )
    return config.model_copy(update={"population": found})


def round_count(config: TrialConfig, steps_per_epoch: int) -> int:
    """How many whole rounds a population lasts, their `interval` being steps: what its budget of
    steps over all members allows, else `trial.epochs` of each member. Raises BadInput where that is
    not one."""
    settings = config.mto
    if settings.budget is not None:
        return int(settings.budget // settings.per_round)
    steps = (config.epochs.search + config.epochs.retrain) * steps_per_epoch
    if steps < settings.interval:
        raise BadInput(
            f"`trial.population.interval` should be at most the {steps:,} steps of `trial.epochs`."
            f" Found {settings.interval:,}. Lower it or train for more epochs."
        )
    return int(steps // settings.interval)
