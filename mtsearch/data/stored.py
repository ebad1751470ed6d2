"""Rows of a split that stay in the store until a batch needs them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mtsearch.config.errors import BadInput
from mtsearch.data.features import FeatureColumn
from mtsearch.data.mapped import Column

if TYPE_CHECKING:
    from mtsearch.config.cards import TaskCard

_AHEAD = 2  # batches that a worker process reads ahead
_SCAN = 1 << 24  # bytes of labels that are looked at together


class StoredRows:
    """Rows of an array of a store, with the part of a tensor's interface that `Split` needs.

    Indexing with a slice or an index tensor selects rows without reading them; `read` reads.

    Args:
        column: the array.
        index: numbers of the rows (n,); None for all.
        whole: whether small integers are returned as int64, as classes of pixels are.
    """

    def __init__(
        self,
        column: Column | FeatureColumn,
        index: NDArray[np.int64] | None = None,
        whole: bool = False,
    ) -> None:
        self.column, self._whole = column, whole
        self._index = np.arange(column.count) if index is None else index
        self.shape = torch.Size((len(self._index), *column.shape))
        stored = torch.from_numpy(np.empty(0, column.dtype)).dtype
        self.dtype = torch.int64 if whole else stored

    def __len__(self) -> int:
        return len(self._index)

    def dim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def __getitem__(self, index: slice | Tensor) -> StoredRows:
        chosen = index.cpu().numpy() if isinstance(index, Tensor) else index
        return StoredRows(self.column, self._index[chosen], self._whole)

    def numbers(self, index: Tensor) -> NDArray[np.int64]:
        """The numbers in the array of the rows at `index` (n,)."""
        return self._index[index.numpy()]

    def stored(self, index: Tensor | None = None) -> Tensor:
        """Read the rows at `index` (n,), by default all, in the type in which they are stored."""
        rows = self._index if index is None else self._index[index.numpy()]
        return torch.from_numpy(self.column.read(rows))

    def typed(self, rows: Tensor) -> Tensor:
        """Rows that `stored` returned, in the type of these rows."""
        return rows.to(self.dtype)

    def read(self, index: Tensor | None = None) -> Tensor:
        """Read the rows at `index` (n,), by default all."""
        return self.typed(self.stored(index))

    def flags(self, task: TaskCard) -> tuple[Tensor, Tensor]:
        """For each row, bool (n,): whether any of its labels is known, and whether all are. The
        array is read once per process."""
        index = torch.from_numpy(self._index)
        known, complete = _flags(self.column, task.ignore, self._whole)
        return known[index], complete[index]


@cache
def _flags(column: Column | FeatureColumn, ignore: int, whole: bool) -> tuple[Tensor, Tensor]:
    rows, parts = StoredRows(column, whole=whole), []
    if rows.dtype == torch.uint8:  # images, which are always known
        return (torch.ones(len(rows), dtype=torch.bool),) * 2
    size = max(1, _SCAN // max(1, int(np.prod(column.shape)) * 8))
    for start in range(0, len(rows), size):
        labels = rows[start : start + size].read().flatten(1)
        known = ~torch.isnan(labels) if labels.is_floating_point() else labels != ignore
        parts.append((known.any(1), known.all(1)))
    known, complete = (torch.cat(part) for part in zip(*parts, strict=True))
    return known, complete


def in_memory(rows: Tensor | StoredRows) -> Tensor:
    """The rows as a tensor."""
    return rows if isinstance(rows, Tensor) else rows.read()


def concatenated(parts: Sequence[Tensor | StoredRows]) -> Tensor | StoredRows:
    """Rows of one array, or of tensors, one part after the other."""
    stored = [part for part in parts if isinstance(part, StoredRows)]
    if stored:
        index = np.concatenate([part._index for part in stored])
        return StoredRows(stored[0].column, index, stored[0]._whole)
    return torch.cat([part for part in parts if isinstance(part, Tensor)])


@dataclass(frozen=True)
class _Failed:
    """An error of a worker process, which the loader would turn into another text."""

    error: BadInput


class RowReader(Dataset["dict[str, Tensor] | _Failed"]):
    """Reads batches of several arrays by their indices, in worker processes if there are any.

    Args:
        arrays: by name; all of the same length.
    """

    def __init__(self, arrays: Mapping[str, StoredRows]) -> None:
        self._arrays = dict(arrays)

    def __getitem__(self, index: Tensor) -> dict[str, Tensor] | _Failed:
        try:
            return {name: rows.stored(index) for name, rows in self._arrays.items()}
        except BadInput as error:
            return _Failed(type(error)(str(error)))

    def batches(self, indices: Sequence[Tensor], workers: int) -> Iterator[dict[str, Tensor]]:
        """The rows at each of these indices, in order. The processes end with the iterator.

        Args:
            indices: of each batch, (n,), on the CPU.
            workers: number of processes; 0 reads in this one.
        """
        if not workers:
            for index in indices:
                yield self._typed(self[index])
            return
        _trim_memory()
        loader: DataLoader[Any] = DataLoader(
            self,
            batch_size=None,
            sampler=indices,
            num_workers=workers,
            prefetch_factor=_AHEAD,
            collate_fn=_same,
            # else the loader draws from torch's global generator, which the trial's numbers use
            generator=torch.Generator(),
        )
        running = iter(loader)
        for left in range(len(indices) - 1, -1, -1):
            rows = next(running)
            if not left:
                del running  # ends the processes: nobody may ask for the end of the pass
            yield self._typed(rows)

    def _typed(self, rows: dict[str, Tensor] | _Failed) -> dict[str, Tensor]:
        if isinstance(rows, _Failed):
            raise rows.error
        return {name: self._arrays[name].typed(values) for name, values in rows.items()}


def _trim_memory() -> None:
    """Return freed memory to the system: a worker process would keep copies of its pages when this
    process uses them again."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # of glibc
        trim(0)


def _same(rows: Any) -> Any:
    return rows
