"""Batches of the features of frozen trunks, in place of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mtsearch.data.batch_labels import label_values
from mtsearch.data.batches import share_of
from mtsearch.data.devices import to_device
from mtsearch.data.features import FeatureColumn, Part
from mtsearch.data.seeded import view_numbers
from mtsearch.data.stored import RowReader, StoredRows
from mtsearch.data.types import Split

_FEATURES = ""  # their key among the labels by task


@dataclass(frozen=True)
class Features:
    """The features of the trunks of a network for B images.

    Attributes:
        values: one tensor (B, ...) per feature, as `MultiTaskModel.trunk_features` returns them.
    """

    values: list[Tensor]

    def __len__(self) -> int:
        return len(self.values[0])

    @property
    def device(self) -> torch.device:
        """The device of the features."""
        return self.values[0].device

    @property
    def no_images(self) -> Tensor:
        """A tensor (B, 0) in place of the images, so that code that reads them fails."""
        return self.values[0].new_empty(len(self), 0)


def has_features(split: Split) -> bool:
    """Whether a split has features in place of images."""
    rows = split.images
    return isinstance(rows, StoredRows) and isinstance(rows.column, FeatureColumn)


class FeatureBatches:
    """Batches of a split with features; the same rows in the same order as `Batches` without
    augmentation for the same generator, or with its `views`.

    Args:
        split: its images are rows of a `FeatureColumn`.
        batch_size: images per batch.
        device: of the batches.
        workers: processes that read labels of pixels ahead, if they are in the store.
    """

    def __init__(
        self, split: Split, batch_size: int, device: torch.device, workers: int = 0
    ) -> None:
        assert isinstance(split.images, StoredRows)
        assert isinstance(split.images.column, FeatureColumn)
        self.batch_size, self._device = batch_size, device
        self.count = len(split)
        self._rows, self._column = split.images, split.images.column
        self._parts: tuple[Part, ...] = self._column.parts
        self._labels = {
            name: values.to(device)
            for name, values in split.labels.items()
            if isinstance(values, Tensor)
        }
        stored = {n: rows for n, rows in split.labels.items() if isinstance(rows, StoredRows)}
        self.workers = workers if stored else 0
        self._reader = RowReader({**stored, _FEATURES: split.images})

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Features, dict[str, Tensor]]]:
        return self._read(torch.arange(self.count).split(self.batch_size), self.workers)

    def shuffled(
        self,
        generator: torch.Generator,
        among: Tensor | None = None,
        share: tuple[int, int] = (0, 1),
        size: int | None = None,
        workers: int | None = None,
    ) -> Iterator[tuple[Features, dict[str, Tensor]]]:
        """One pass in an order drawn from `generator`; the arguments are those of
        `Batches.shuffled`."""
        order = torch.randperm(
            self.count if among is None else len(among),
            generator=generator,
            device=generator.device,
        )
        order = order if among is None else among.to(order.device)[order]
        size = size or self.batch_size
        indices = [share_of(index, share) for index in order.split(size)]
        if self._column.views:
            passes = view_numbers(self._column.views, len(order), generator).split(size)
            for index, numbers in zip(indices, passes, strict=True):
                yield self._viewed(index.cpu(), share_of(numbers, share).cpu())
            return
        workers = self.workers if workers is None else min(workers, self.workers)
        yield from self._read(indices, workers)

    def _viewed(self, index: Tensor, numbers: Tensor) -> tuple[Features, dict[str, Tensor]]:
        """The examples (B,) with the numbers (B,) of their views."""
        rows = self._rows.numbers(index) + (1 + numbers.numpy()) * self._column.count
        return self._batch(
            index, to_device(torch.from_numpy(self._column.read(rows)), self._device), {}
        )

    def _read(
        self, indices: Sequence[Tensor], workers: int
    ) -> Iterator[tuple[Features, dict[str, Tensor]]]:
        indices = [index.cpu() for index in indices]
        for index, rows in zip(indices, self._reader.batches(indices, workers), strict=True):
            found = {name: to_device(values, self._device) for name, values in rows.items()}
            yield self._batch(index, found.pop(_FEATURES), found)

    def _batch(
        self, index: Tensor, rows: Tensor, stored: dict[str, Tensor]
    ) -> tuple[Features, dict[str, Tensor]]:
        chosen = to_device(index, self._device)
        labels = {name: values.index_select(0, chosen) for name, values in self._labels.items()}
        return Features(unpacked(rows, self._parts)), label_values(labels | stored)


def part_of(feature: Tensor) -> Part:
    """The shape and the memory format of a feature (B, ...)."""
    last = feature.dim() == 4 and feature.is_contiguous(memory_format=torch.channels_last)
    return Part(tuple(feature.shape[1:]), last and not feature.is_contiguous())


def packed(features: Sequence[Tensor], parts: Sequence[Part]) -> Tensor:
    """The rows (B, width) of a `FeatureColumn` for features (B, ...)."""
    rows = [
        (feature.permute(0, 2, 3, 1) if part.channels_last else feature).flatten(1)
        for feature, part in zip(features, parts, strict=True)
    ]
    return torch.cat(rows, 1)


def unpacked(rows: Tensor, parts: Sequence[Part]) -> list[Tensor]:
    """The features of rows (B, width), in their memory format: the inverse of `packed`."""
    found, count = [], len(rows)  # a share of a batch may be empty
    for values, part in zip(rows.split([p.size for p in parts], 1), parts, strict=True):
        if part.channels_last:
            channels, height, width = part.shape
            found.append(values.reshape(count, height, width, channels).permute(0, 3, 1, 2))
        else:
            found.append(values.reshape(count, *part.shape))
    return found
