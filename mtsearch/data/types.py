"""Types of resolved and open datasets."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.data.array_inputs import ArrayInputs
from mtsearch.data.stored import StoredRows, concatenated

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """One split of a dataset, in memory or in its store.

    Attributes:
        images: uint8 (N, C, H, W), in any dense memory format, or float32 (N, ...) for inputs that
            are not images; or the rows of a store.
        labels: by task. Classification: int64 (N,); segmentation: int64 (N, H, W); regression:
            float; the task's ``ignore`` value means "not labelled". Images as labels are uint8
            (N, C, H, W), always labelled; `Batches` returns them as floats in [0, 1].
        members: number of images of each member of a disjoint dataset, in the order of the images;
            empty for a dataset of one set.
    """

    images: Tensor | StoredRows
    labels: dict[str, Tensor | StoredRows]
    members: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def head(self, count: int) -> Split:
        """The first ``count`` examples, as views; of a disjoint dataset the first of each member,
        so that every task keeps labels."""
        if len(self.members) < 2:
            return Split(
                self.images[:count], {name: values[:count] for name, values in self.labels.items()}
            )
        ends = list(accumulate(self.members))
        parts = [
            slice(end - size, end - size + min(size, count))
            for end, size in zip(ends, self.members, strict=True)
        ]

        def heads(values: Tensor | StoredRows) -> Tensor | StoredRows:
            return concatenated([values[part] for part in parts])

        sizes = tuple(min(size, count) for size in self.members)
        return Split(
            heads(self.images), {name: heads(values) for name, values in self.labels.items()}, sizes
        )

    def take(self, index: Tensor) -> Split:
        """The examples at `index` (n,), as views if the indices are consecutive."""
        if len(index) and bool((index.diff() == 1).all()):
            start, end = int(index[0]), int(index[-1]) + 1
            return Split(
                self.images[start:end],
                {name: values[start:end] for name, values in self.labels.items()},
            )
        return Split(
            self.images[index], {name: values[index] for name, values in self.labels.items()}
        )

    def complete(self, task: TaskCard, index: Tensor | None = None) -> bool:
        """Whether all labels of the task are known, of all examples or of those at `index`."""
        labels = self.labels[task.name]
        if isinstance(labels, StoredRows):
            known = labels.flags(task)[1]
            return bool((known if index is None else known[index]).all())
        if labels.dtype == torch.uint8:  # target images of a restoration
            return True
        part = labels if index is None else labels[index]
        missing = torch.isnan(part) if part.is_floating_point() else part == task.ignore
        return not bool(missing.any())

    def labelled(self, task: TaskCard) -> Tensor:
        """Which examples have a label of the task, bool (N,); one labelled pixel is enough."""
        labels = self.labels[task.name]
        if isinstance(labels, StoredRows):
            return labels.flags(task)[0]
        if labels.dtype == torch.uint8:
            return torch.ones(len(self), dtype=torch.bool, device=labels.device)
        labels = labels.flatten(1) if labels.dim() > 1 else labels[:, None]
        return (~torch.isnan(labels) if labels.is_floating_point() else labels != task.ignore).any(
            1
        )


@dataclass(frozen=True)
class Dataset:
    """An open dataset. ``label`` describes the data actually used, for banners. ``mean`` and
    ``std`` are per channel, of pixels in [0, 1], or of the values of arrays. ``workers`` processes
    read the batches of a split that is in its store. ``inputs`` says how arrays are made from
    files; it is None for images."""

    card: DatasetCard
    label: str
    splits: dict[str, Split]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    checksum: str
    workers: int = 0
    inputs: ArrayInputs | None = None

    @property
    def pictures(self) -> bool:
        """Whether the inputs are images of 8 bits."""
        # features of frozen trunks may be in the place of training and validation images
        name = "test" if "test" in self.splits else next(iter(self.splits))
        return self.splits[name].images.dtype == torch.uint8


@dataclass(frozen=True)
class Resolved:
    """A dataset found by a configuration, with the location of its files and store. ``checksum`` is
    None until the store is built."""

    card: DatasetCard
    root: Path
    store: Path
    label: str
    checksum: str | None
