"""Checks of a population's settings against the dataset, before it is built."""

from __future__ import annotations

from collections.abc import Sequence

from mtsearch.balancing.schedules import Stream
from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.config.space import population_target
from mtsearch.data import Dataset
from mtsearch.models import build_model
from mtsearch.population.formulations import build_formulation
from mtsearch.population.task import Task
from mtsearch.population.tasks import build_tasks, passes, round_count, with_interval_in_steps
from mtsearch.population.transfer import check_layers
from mtsearch.tasks import loss_of
from mtsearch.training.checks import Build, check_lone_images


def check_population(
    config: TrialConfig,
    data: DataConfig,
    card: DatasetCard,
    dataset: Dataset | None = None,
    build: Build = build_model,
) -> None:
    """Raise BadInput if no `Population` of this configuration can be trained.

    Args:
        config: the configuration.
        data: the dataset and its location.
        card: the card of the dataset.
        dataset: the dataset, of whose images only the number is used; None to make only the checks
            that do not need it.
        build: builds the network, as `build_model`; only the names and shapes of its parameters
            are used.
    """
    if data.load == "stream":
        raise BadInput(
            "`data.load` should be auto or memory with `trial.population`, whose members hold the"
            " dataset in memory. Found stream."
        )
    settings = config.mto
    tasks = {task.name: task for task in card.tasks}
    target = tasks[population_target(settings.target, list(tasks), card.name)]
    if dataset is not None:
        found = build_tasks(config, data, dataset)
        heads = [task.card for task in found]
        check_length(config, found)
    else:
        heads = [target]
        if settings.tasks > 1:
            build_formulation(config, data).check(target, card)
    for head in heads:
        loss_of(head)
        check_layers(
            settings,
            list(build(config.architecture, config.backbone, [head], card.shape).state_dict()),
        )


def check_length(config: TrialConfig, tasks: Sequence[Task]) -> None:
    """Raise BadInput if the budget is below one round, or if the last batch of a pass has one image
    and batch norm needs more."""
    steps = passes(tasks[0], config.batch)
    round_count(with_interval_in_steps(config, steps), steps)
    for task in tasks:
        card = task.dataset.card.model_copy(update={"tasks": (task.card,)})
        check_lone_images(config, card, [Stream(len(task.train), config.batch)])
