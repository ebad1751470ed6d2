"""Construction of the network, the balancing method and the batches of a trial."""

from __future__ import annotations

import torch

from mtsearch.balancing import Balancing, build_balancing
from mtsearch.balancing.schedules import TaskSchedule
from mtsearch.config.schema import TrialConfig
from mtsearch.data import Dataset
from mtsearch.data.feature_batches import FeatureBatches, has_features
from mtsearch.models import MultiTaskModel, build_grouped, lsuv_, normal_
from mtsearch.models.tuning import freeze_parts_
from mtsearch.training.checks import check_images, check_lone_images, check_parts
from mtsearch.training.compiling import check_compile
from mtsearch.training.loaders import GroupLoader, ImagePools, labelled_batches, make_batches
from mtsearch.training.preference import coefficient_of, weights_of
from mtsearch.training.sync_norm import synchronise_
from mtsearch.training.world import World

LSUV_IMAGES = 512  # training images on which LSUV initialisation measures activations


def build_network(
    config: TrialConfig, dataset: Dataset, device: torch.device, world: World
) -> MultiTaskModel:
    """Return the initialised network on the device, channels-last. It is initialised with torch's
    global generators."""
    card = dataset.card
    model = build_grouped(
        config.architecture, config.backbone, card.tasks, card.shape, config.groups
    )
    if config.init == "lsuv":
        parts = labelled_batches(dataset, dataset.splits["train"], card.tasks, device, LSUV_IMAGES)
        first = [next(iter(batches))[0] for _, batches in parts]
        generator = torch.Generator().manual_seed(config.seed)
        lsuv_(model, torch.cat(first)[:: len(first)].cpu(), generator)
    elif config.init == "normal":
        normal_(model)
    freeze_parts_(model, config.lr_multipliers)
    if any(parameter.dim() == 5 for parameter in model.parameters()):  # of 3-D convolutions
        model.to(device)
    else:
        model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.bn == "sync":
        synchronise_(model, world)
    return model


def build_trial_balancing(config: TrialConfig, dataset: Dataset, device: torch.device) -> Balancing:
    """Return the balancing method with the trial's preference."""
    weights = weights_of(config, dataset.card, device)
    return build_balancing(config.balancing, weights, coefficient_of(config))


def build_loader(
    config: TrialConfig,
    dataset: Dataset,
    schedule: TaskSchedule,
    device: torch.device,
    world: World,
) -> GroupLoader:
    """Return the loader of training batches for the groups of tasks that the schedule trains."""
    train = dataset.splits["train"]
    return GroupLoader(
        FeatureBatches(train, config.batch, device, dataset.workers)
        if has_features(train)
        else make_batches(dataset, train, config.batch, device, config.augment),
        train,
        dataset.card.tasks,
        schedule.groups,
        config.seed,
        getattr(config.task_schedule, "replay", "fresh") == "cached",
        world,
        config.batch_size,
    )


def check_built(
    config: TrialConfig,
    dataset: Dataset,
    schedule: TaskSchedule,
    balancing: Balancing,
    model: MultiTaskModel,
    loader: GroupLoader,
    device: torch.device,
) -> None:
    """Raise BadInput if the configuration cannot train on this dataset."""
    card = dataset.card
    check_parts(config, card, schedule, balancing, model)
    others = {
        name: ImagePools(split, card.tasks)
        for name, split in dataset.splits.items()
        if name != "train"
    }
    check_images(config, schedule, balancing, {"train": loader.pools, **others})
    passes = [
        stream
        for group in schedule.groups
        for stream in loader.pools.streams(group, config.batch_size)
    ]
    check_lone_images(config, card, passes)
    if config.compile:
        check_compile(model, device)
