"""Construction of the trial of a configuration: a single network, a Pareto set or a
population."""

from __future__ import annotations

from pathlib import Path

from mtsearch.config.cards import DatasetCard
from mtsearch.config.checkpoint_owner import CheckpointOwner
from mtsearch.config.pareto_sets import SparsityLadderConfig
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import Dataset
from mtsearch.models import build_model
from mtsearch.population.checks import check_population
from mtsearch.population.population import Population
from mtsearch.training import Trial, TrialProtocol, World
from mtsearch.training.checks import Build
from mtsearch.training.checks import check_trial as check_one
from mtsearch.training.pareto_set import ParetoSetTrial
from mtsearch.training.phases import plan
from mtsearch.training.sparsity_ladder import SparsityLadderTrial
from mtsearch.training.state import load_state


def trial_class_for(config: TrialConfig) -> type[TrialProtocol]:
    """Return the class that trains this configuration."""
    return _class_for(config)


def _class_for(config: TrialConfig) -> type[Trial] | type[Population]:
    if isinstance(config.pareto_set, SparsityLadderConfig):
        return SparsityLadderTrial
    if config.pareto_set is not None:
        return ParetoSetTrial
    return Trial if config.population is None else Population


def build_trial(
    config: TrialConfig, data: DataConfig, world: World | None = None
) -> Trial | Population:
    """Build a new trial. Raises BadInput if the configuration cannot be trained on the dataset."""
    return _class_for(config)(config, data, world)


def check_trial(
    config: TrialConfig,
    data: DataConfig,
    card: DatasetCard,
    dataset: Dataset | None = None,
    build: Build = build_model,
) -> None:
    """Raise BadInput if `build_trial` would refuse the configuration.

    Args:
        config: the configuration.
        data: the dataset and its location.
        card: the card of the dataset.
        dataset: the dataset; None to make only the checks that do not need it.
        build: builds the networks, as `build_model`; their parameters need no values.
    """
    if config.population is None:
        check_one(config, card, None if dataset is None else dataset.splits, build)
    else:
        check_population(config, data, card, dataset, build)


def restore_trial(
    folder: Path,
    data: DataConfig | None = None,
    world: World | None = None,
    owner: CheckpointOwner | None = None,
) -> Trial | Population:
    """Restore the trial that was saved in a folder.

    Args:
        folder: the folder.
        data: replaces the saved location of the dataset.
        world: the ranks that train the trial together.
        owner: the trial of a run to which the checkpoint must belong; None for any.

    Raises:
        BadInput: the checkpoint is missing, damaged or of another trial than `owner`.
        ValueError: the checkpoint was made with other data.
    """
    config = TrialConfig.model_validate(load_state(folder, owner)["config"])
    return _class_for(config).restore(folder, data, world, owner)


def total_epochs_of(config: TrialConfig, images: int) -> float:
    """Return the total number of passes through `images` training images of a trial, summed over
    all members of a population."""
    if config.population is None:
        return sum(phase.epochs for phase in plan(config))
    settings = config.mto
    steps = settings.budget
    if steps is None:
        steps = (
            settings.tasks
            * settings.group_size
            * (config.epochs.search + config.epochs.retrain)
            * -(-images // config.batch)
        )
    return steps * config.batch / images
