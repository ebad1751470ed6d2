"""What a dataset is once it is open."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from mtsearch.config.cards import DatasetCard, TaskCard

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """One side of a dataset, whole, in memory.

    ``images`` is uint8 (N, C, H, W), in any dense memory format. ``labels`` maps each task's name
    to int64 (N,) for a classification, int64 (N, H, W) for a segmentation, float for a regression;
    the task's ``ignore`` value means "not labelled". Pictures as labels are uint8 (N, C, H, W):
    `Batches` yields them as floats in [0, 1], and all of them are labels. ``members`` says how many
    images each set of a disjoint dataset gave, behind each other; it is empty for one set.
    """

    images: Tensor
    labels: dict[str, Tensor]
    members: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def head(self, count: int) -> Split:
        """The first ``count`` examples, as views; of each member where there are several, so that
        every task keeps its labels."""
        if len(self.members) < 2:
            return Split(
                self.images[:count], {name: values[:count] for name, values in self.labels.items()}
            )
        ends = list(accumulate(self.members))
        parts = [
            slice(end - size, end - size + min(size, count))
            for end, size in zip(ends, self.members, strict=True)
        ]

        def heads(values: Tensor) -> Tensor:
            return torch.cat([values[part] for part in parts])

        sizes = tuple(min(size, count) for size in self.members)
        return Split(
            heads(self.images), {name: heads(values) for name, values in self.labels.items()}, sizes
        )

    def take(self, index: Tensor) -> Split:
        """The examples at `index` (n,), as views where they lie behind each other."""
        if len(index) and bool((index.diff() == 1).all()):
            start, end = int(index[0]), int(index[-1]) + 1
            return Split(
                self.images[start:end],
                {name: values[start:end] for name, values in self.labels.items()},
            )
        return Split(
            self.images[index], {name: values[index] for name, values in self.labels.items()}
        )

    def labelled(self, task: TaskCard) -> Tensor:
        """Which examples have a label of the task, bool (N,); of a label per pixel, one is
        enough."""
        if self.labels[task.name].dtype == torch.uint8:
            return torch.ones(len(self), dtype=torch.bool, device=self.labels[task.name].device)
        labels = (
            self.labels[task.name].flatten(1)
            if self.labels[task.name].dim() > 1
            else self.labels[task.name][:, None]
        )
        return (~torch.isnan(labels) if labels.is_floating_point() else labels != task.ignore).any(
            1
        )


@dataclass(frozen=True)
class Dataset:
    """An open dataset. ``label`` is what banners print: the dataset that is really used. ``mean``
    and ``std`` are per channel, of pixels in [0, 1]."""

    card: DatasetCard
    label: str
    splits: dict[str, Split]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    checksum: str


@dataclass(frozen=True)
class Resolved:
    """Which dataset a configuration means, where its files and its store are. ``checksum`` is None
    while the store is not built."""

    card: DatasetCard
    root: Path
    store: Path
    label: str
    checksum: str | None
