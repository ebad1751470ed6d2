"""Construction of the tasks of a population, the target and its auxiliary tasks."""

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
    """Return the target and its auxiliary tasks, by key. A task does not depend on the number of
    tasks.

    Raises:
        BadInput: the dataset has several tasks and the settings name none, there are too few images
            for a hold-out, or the formulation does not support the target.
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
    """Return the keys of the tasks, the target first."""
    return list(range(count))


def passes(task: Task, batch_size: int) -> int:
    """Return the number of steps of one pass through a task's training images."""
    return -(-len(task.train) // batch_size)


def with_interval_in_steps(config: TrialConfig, steps_per_epoch: int) -> TrialConfig:
    """Return the configuration with its interval in steps. Raises BadInput if the budget is below
    one round."""
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
    """Return the number of whole rounds of a population whose `interval` is in steps: those within
    the budget of steps over all members if there is one, else those within `trial.epochs` of each
    member. Raises BadInput if there is none."""
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
