"""Measurement of batch statistics of a network whose weights were not trained as they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mtsearch.config.cards import TaskCard
from mtsearch.data import Batches, Dataset
from mtsearch.models import MultiTaskModel
from mtsearch.models.norm import TaskNorm
from mtsearch.training.loaders import image_pools, make_batches

_Norm = nn.modules.batchnorm._BatchNorm


def statistics_batches(
    dataset: Dataset,
    tasks: Sequence[TaskCard],
    device: torch.device,
    batch_size: int,
    count: int,
    seed: int,
) -> list[tuple[list[TaskCard], Batches]]:
    """Return the tasks and at most `count` batches of each pool of training images, without
    augmentation. The images are a random sample of the pool that `seed` determines. A last batch of
    one image is left out if there are others."""
    found = []
    split = dataset.splits["train"]
    for members, index in image_pools(split, tasks, tuple(range(len(tasks)))):
        index = torch.arange(len(split)) if index is None else index
        order = torch.randperm(len(index), generator=torch.Generator().manual_seed(seed))
        used = min(len(index), count * batch_size)
        if used % batch_size == 1 and used > 1:
            used -= 1
        part = split.take(index[order[:used]])
        batches = make_batches(dataset, part, batch_size, device)
        found.append(([tasks[k] for k in members], batches))
    return found


@torch.no_grad()
def measure_statistics_(
    model: MultiTaskModel,
    parts: Sequence[tuple[Sequence[TaskCard], Batches]],
    device: torch.device,
    autocast: torch.dtype | None = None,
) -> None:
    """Replace the running mean and variance of every batch norm by the mean over batches, with all
    other layers in eval mode. The model is in eval mode afterwards.

    Args:
        model: the network.
        parts: tasks and the batches that are labelled for them.
        device: the device of the batches.
        autocast: the dtype of mixed precision; None for float32.
    """
    norms = [m for m in model.modules() if isinstance(m, _Norm) and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.zero_()
    for module in model.modules():
        if isinstance(module, _Norm | TaskNorm):
            module.training = True
    if norms:
        for tasks, batches in parts:
            names = [task.name for task in tasks]
            for images, _ in batches:
                for norm in norms:
                    norm.momentum = 1 / (1 + int(norm.num_batches_tracked))  # type: ignore[arg-type]
                with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
                    model(images, names)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
