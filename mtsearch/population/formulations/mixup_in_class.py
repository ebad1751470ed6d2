"""Auxiliary tasks with mixtures of two images of one class."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.data import Split
from mtsearch.data.stored import in_memory
from mtsearch.population.formulations.base import Formulation, need_classes
from mtsearch.population.task import Task


class MixupInClass(Formulation):
    """With `factor` r, the task keeps floor(n / r) random images of its n and adds, for each class
    c with n_c images, floor(n_c (r - 1) / r) mixtures a x1 + (1 - a) x2 of two distinct random
    images of the class, with a from U(0, 1), rounded to integer pixel values.

    Classes with a single image get no mixtures. Mixtures are made once, from the training images of
    the task only.
    """

    def check(self, target: TaskCard, card: DatasetCard) -> None:
        need_classes(target, "mixup_in_class")

    def derive(self, task: Task, noise: torch.Generator) -> Task:
        factor, labels = self.settings.factor, in_memory(task.split.labels[task.label])
        kept = task.train[
            torch.randperm(len(task.train), generator=noise)[: int(len(task.train) / factor)]
        ]
        firsts, seconds = [], []
        for label in range(task.card.outputs):
            members = task.train[labels[task.train] == label]
            wanted = int(len(members) * (factor - 1) / factor)
            if len(members) > 1 and wanted:
                first = torch.randint(len(members), (wanted,), generator=noise)
                second = (first + torch.randint(1, len(members), (wanted,), generator=noise)) % len(
                    members
                )
                firsts.append(members[first])
                seconds.append(members[second])
        if not firsts:
            return replace(task, train=kept)
        one, two = torch.cat(firsts), torch.cat(seconds)
        share = torch.rand(len(one), 1, 1, 1, generator=noise)
        split = _with(
            task.split,
            task.label,
            _mixed(in_memory(task.split.images), one, two, share),
            labels[one],
        )
        added = torch.arange(len(task.split), len(split))
        return replace(
            task,
            split=split,
            train=torch.cat([kept, added]),
            sources=torch.unique(torch.cat([kept, one, two])),
        )


def _mixed(images: Tensor, one: Tensor, two: Tensor, share: Tensor) -> Tensor:
    """Return uint8 mixtures, computed in chunks, because floats need four times the memory."""
    parts = zip(*(torch.split(part, 1024) for part in (one, two, share)), strict=True)
    return torch.cat(
        [
            torch.lerp(images[b].float(), images[a].float(), s).round_().to(torch.uint8)
            for a, b, s in parts
        ]
    )


def _with(split: Split, label: str, images: Tensor, labels: Tensor) -> Split:
    return Split(
        torch.cat([in_memory(split.images), images]),
        {label: torch.cat([in_memory(split.labels[label]), labels])},
    )
