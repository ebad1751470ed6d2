"""Auxiliary tasks on a subset of the target's classes."""

from __future__ import annotations

from dataclasses import replace

import torch

from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.data.stored import in_memory
from mtsearch.population.formulations.base import Formulation, need_classes
from mtsearch.population.task import Task


class ClassSubset(Formulation):
    """The images of `classes` random classes, with a head of `classes` outputs."""

    def check(self, target: TaskCard, card: DatasetCard) -> None:
        need_classes(target, "class_subset")
        count, total = self.settings.classes, target.outputs
        if count >= total:
            raise BadInput(
                f"`trial.population.formulation.classes` should be below the target's {total}"
                f" classes. Found {count}."
            )

    def derive(self, task: Task, noise: torch.Generator) -> Task:
        count, total = self.settings.classes, task.card.outputs
        chosen = torch.randperm(total, generator=noise)[:count].sort().values
        remap = torch.full((total + 1,), task.card.ignore)
        remap[chosen] = torch.arange(count)
        labels = in_memory(task.split.labels[task.label])
        inside = torch.isin(labels, chosen)
        names = tuple(task.card.classes[c] for c in chosen.tolist()) if task.card.classes else ()
        found = replace(
            task,
            card=task.card.model_copy(update={"outputs": count, "classes": names}),
            train=task.train[inside[task.train]],
            hold_out=task.hold_out[inside[task.hold_out]],
            select=task.select[inside[task.select]],
            remap=remap,
        )
        if not len(found.train) or not len(found.hold_out):
            raise BadInput(
                f"`trial.population.formulation.classes` leaves auxiliary task {task.key} without"
                f" training or hold-out images. Found {count}. Raise it, or use more data."
            )
        return found
