"""A trial of whichever kind its configuration asks for: one network, or a population."""

from __future__ import annotations

from pathlib import Path

from mtsearch.config.cards import DatasetCard
from mtsearch.config.checkpoint_owner import CheckpointOwner
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import Dataset
from mtsearch.models import build_model
from mtsearch.population.checks import check_population
from mtsearch.population.population import Population
from mtsearch.training import Trial, TrialProtocol, World
from mtsearch.training.checks import Build
from mtsearch.training.checks import check_trial as check_one
from mtsearch.training.phases import plan
from mtsearch.training.state import load_state


def trial_class_for(config: TrialConfig) -> type[TrialProtocol]:
    """The class that trains this configuration."""
    return _class_for(config)


def _class_for(config: TrialConfig) -> type[Trial] | type[Population]:
    return Trial if config.population is None else Population


def build_trial(
    config: TrialConfig, data: DataConfig, world: World | None = None
) -> Trial | Population:
    """A new trial. Raises BadInput."""
    return _class_for(config)(config, data, world)


def check_trial(
    config: TrialConfig,
    data: DataConfig,
    card: DatasetCard,
    dataset: Dataset | None = None,
    build: Build = build_model,
) -> None:
    """Raises BadInput for what `build_trial` would refuse: what shows by the dataset's card, and by
    its labels where it is given.

    `build` makes the networks, as `build_model`; they need hold no numbers.
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
    """The trial that was saved in a folder; `data` replaces where its data are found. Raises
    BadInput when the folder is damaged or of another trial than `owner`."""
    config = TrialConfig.model_validate(load_state(folder, owner)["config"])
    return _class_for(config).restore(folder, data, world, owner)


def total_epochs_of(config: TrialConfig, images: int) -> float:
    """How many passes through `images` training images a trial takes in all, those of all members
    of a population together."""
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
