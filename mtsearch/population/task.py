"""A task of a population: its images, loss, head and optimiser, and its batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mtsearch.config.base import Model
from mtsearch.config.cards import TaskCard
from mtsearch.config.schema import TrialConfig
from mtsearch.data import Batches, Dataset, Split
from mtsearch.population.seeding import generator_of
from mtsearch.training.loaders import make_batches


@dataclass(frozen=True)
class Task:
    """The target task or an auxiliary task.

    Attributes:
        key: the number of the task, 0 for the target; it identifies the random streams.
        card: kind, outputs and loss, with the name of the target, so that all networks have the
            same parts.
        dataset: the dataset of the images.
        split: the images and labels for training and evaluation.
        label: the name of the labels in `split`.
        train: (n,) indices of the training images, which may repeat.
        hold_out: indices of the images on which members are evaluated.
        select: indices of the images on which snapshots are selected.
        optimizer: the settings of the optimiser.
        remap: class of the split -> class of the head; the last entry, for images without a label,
            is `card.ignore`.
        sources: indices of the images of the target's training split from which the images `train`
            are made; None if they are `train`.
    """

    key: int
    card: TaskCard
    dataset: Dataset
    split: Split
    label: str
    train: Tensor
    hold_out: Tensor
    select: Tensor
    optimizer: Model
    remap: Tensor | None = None
    sources: Tensor | None = None

    @property
    def seen(self) -> set[int]:
        """The images of the target's training split on which the task trains."""
        return set((self.train if self.sources is None else self.sources).tolist())


class BatchSource:
    """The images of all tasks on the device, each split once, and the batches of every task."""

    def __init__(self, config: TrialConfig, device: torch.device) -> None:
        self._config = config
        self._device = device
        self._batches: dict[tuple[int, bool], Batches] = {}
        self._orders: dict[tuple[int, int], tuple[int, Tensor]] = {}

    def batch(self, task: Task, step: int, lane: int) -> tuple[Tensor, Tensor]:
        """Return the images and labels of a training step (from 0). They depend on task, step and
        lane only. The last batch of a pass may be smaller."""
        done, place = divmod(step, -(-len(task.train) // self._config.batch))
        known = self._orders.get((task.key, lane))
        if known is None or known[0] != done:
            order = torch.randperm(
                len(task.train),
                generator=generator_of(self._config.seed, "order", task.key, done, lane),
            )
            known = self._orders[task.key, lane] = (done, task.train[order])
        index = known[1][place * self._config.batch : (place + 1) * self._config.batch]
        images, labels = self._of(task, train=True).take(
            index, generator_of(self._config.seed, "augment", task.key, step, lane)
        )
        return images, self._labels(task, labels)

    def passing(
        self, task: Task, index: Tensor, size: int, generator: torch.Generator | None
    ) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        """Iterate over the images at `index` in order, in batches for evaluation. They are
        augmented if a generator is given."""
        batches = self._of(task, train=generator is not None)
        for part in torch.split(index, size):
            images, labels = batches.take(part, generator)
            yield images, {task.card.name: self._labels(task, labels)}

    def _labels(self, task: Task, labels: dict[str, Tensor]) -> Tensor:
        found = labels[task.label]
        if task.remap is None:
            return found
        known = torch.where(found == task.card.ignore, len(task.remap) - 1, found)
        return task.remap.to(found.device)[known]

    def _of(self, task: Task, train: bool) -> Batches:
        key = (id(task.split), train)
        if key not in self._batches:
            augment = self._config.augment if train else None
            self._batches[key] = make_batches(
                task.dataset, task.split, self._config.batch, self._device, augment
            )
        return self._batches[key]
