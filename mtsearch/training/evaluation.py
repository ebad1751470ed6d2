"""Evaluation of a model on a split: figures per sample, one host synchronisation per split."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.models import MultiTaskModel
from mtsearch.tasks import meter_for
from mtsearch.training.world import World


@torch.inference_mode()
def evaluate(
    model: MultiTaskModel,
    parts: Sequence[tuple[Sequence[TaskCard], Iterable[tuple[Tensor, dict[str, Tensor]]]]],
    device: torch.device,
    autocast: torch.dtype | None = None,
    world: World | None = None,
    by_class: bool = False,
) -> dict[str, float]:
    """`<task>/<metric>` for every task, with the model in eval mode (its mode is restored).

    Args:
        model: the network.
        parts: the images by the tasks that they are labelled for; only those tasks' outputs are
            computed.
        device: where the batches lie.
        autocast: the type of mixed precision, if any.
        world: ranks that share the work: each has every so-manieth batch, so that every image
            counts once.
        by_class: with the figures of single classes, `<task>/<metric>/<class>`, where a task's kind
            has them.
    """
    world = world or World()
    was_training = model.training
    model.eval()
    meters = {task.name: meter_for(task, device) for tasks, _ in parts for task in tasks}
    for tasks, batches in parts:
        names = [task.name for task in tasks]
        for images, labels in itertools.islice(batches, world.rank, None, world.size):
            with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
                outputs = model.predict(images, labels, names)
            for name in names:
                meters[name].update(outputs[name], labels[name])
    model.train(was_training)
    for meter in meters.values():
        world.all_reduce_(meter.totals)
    found = {
        f"{name}/{key}": value
        for name, meter in meters.items()
        for key, value in meter.compute().items()
    }
    if by_class:
        told = {
            name: meter.by_class() for name, meter in meters.items() if hasattr(meter, "by_class")
        }
        found |= {
            f"{name}/{key}": value
            for name, figures in told.items()
            for key, value in figures.items()
        }
    return found
