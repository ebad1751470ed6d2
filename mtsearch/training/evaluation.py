"""Evaluation of a model on a split: metrics per sample, one host synchronisation per split."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import torch

from mtsearch.config.cards import TaskCard
from mtsearch.data.feature_batches import Features
from mtsearch.models import MultiTaskModel
from mtsearch.tasks import meter_for
from mtsearch.training.loaders import Batch
from mtsearch.training.world import World


@torch.inference_mode()
def evaluate(
    model: MultiTaskModel,
    parts: Sequence[tuple[Sequence[TaskCard], Iterable[Batch]]],
    device: torch.device,
    autocast: torch.dtype | None = None,
    world: World | None = None,
    by_class: bool = False,
    tables: dict[str, list[list[int]]] | None = None,
) -> dict[str, float]:
    """Compute the metrics of a model in eval mode; its previous mode is restored.

    Args:
        model: the network.
        parts: tasks and the batches that are labelled for them; only the outputs of these tasks are
            computed.
        device: the device of the batches.
        autocast: the dtype of mixed precision; None for float32.
        world: ranks that share the batches, each of which is evaluated by one rank; None for one
            process.
        by_class: whether to add the metrics of single classes, ``<task>/<metric>/<class>``, for
            task kinds that have them.
        tables: receives the table of counts of each task whose meter has one, see `Meter`.

    Returns:
        ``<task>/<metric>`` for every task.
    """
    world = world or World()
    was_training = model.training
    model.eval()
    meters = {task.name: meter_for(task, device) for tasks, _ in parts for task in tasks}
    for tasks, batches in parts:
        names = [task.name for task in tasks]
        for images, labels in itertools.islice(batches, world.rank, None, world.size):
            with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
                if isinstance(images, Features):
                    outputs = model.decode(images.no_images, images.values, names)
                else:
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
    if tables is not None:
        for name, meter in meters.items():
            if hasattr(meter, "table"):
                tables[name] = meter.table().round().long().tolist()
    if by_class:
        found |= {
            f"{name}/{key}": value
            for name, meter in meters.items()
            if hasattr(meter, "by_class")
            for key, value in meter.by_class().items()
        }
    return found
