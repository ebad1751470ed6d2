"""What one of a population's tasks is: its images, loss, head and optimiser, and where they are in
memory."""

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
    """A formulation of the target.

    Attributes:
        key: its number among the tasks, 0 being the target; it names the task's random streams.
        card: kind, outputs and loss, under the target's name, so that all networks have the same
            parts.
        dataset: where the images come from.
        split: the images it trains on and is judged on.
        label: the name of its labels in `split`.
        train: (n,) indices of the training images, with repeats where it trains on some more often.
        hold_out: indices of the images on which states are judged; select: of those on which a
            snapshot is chosen.
        optimizer: settings of its optimiser.
        remap: class of the split -> class of the head; its last entry, for images without a label,
            is `card.ignore`.
        sources: which images of the target's training split it has seen when it has trained on all
            of `train`.
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
        """The images of the target's training split that it trains on."""
        return set((self.train if self.sources is None else self.sources).tolist())


class BatchSource:
    """The images of all tasks on the device, each split once, and the batches of any task at any
    step."""

    def __init__(self, config: TrialConfig, device: torch.device) -> None:
        self._config = config
        self._device = device
        self._batches: dict[tuple[int, bool], Batches] = {}
        self._orders: dict[tuple[int, int], tuple[int, Tensor]] = {}

    def batch(self, task: Task, step: int, lane: int) -> tuple[Tensor, Tensor]:
        """Images and labels of a training step (from 0): a function of task, step and lane alone. A
        pass's last batch may be smaller."""
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
        """The images of `index` in order, augmented by what `generator` draws, as evaluation takes
        them."""
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
