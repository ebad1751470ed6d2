"""Arrays whose rows are decoded from files when they are read, so that a dataset of any size can be
split, ordered and written without holding it in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mtsearch.data.decoding_pool import DecodingPool, Row, Source, Task
from mtsearch.data.remarks import remark
from mtsearch.data.spool import SpoolReader, reader_of
from mtsearch.data.trees import Tree

BLOCK_BYTES = 1 << 20  # decoded bytes of a block, the unit of work of a process
BLOCK_ROWS = 64


class Decode(Protocol):
    """Decodes the row of an array from the contents of its files. Instances are pickled, so they
    are frozen dataclasses of `mtsearch` modules."""

    def __call__(self, contents: Sequence[bytes], where: Sequence[str]) -> NDArray[Any]:
        """Decode one row.

        Args:
            contents: bytes of the row's files.
            where: names of the files in messages.
        """


@dataclass(frozen=True, eq=False)
class FileSet:
    """Files of a tree from which the rows of an array are decoded.

    Attributes:
        tree: the files' folder or archive.
        files: names of the files of each row.
        decode: decodes one row.
        shape: of a row.
        dtype: of a row.
        origin: what messages name after a file; by default the tree.
    """

    tree: Tree
    files: Sequence[tuple[str, ...]]
    decode: Decode
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    origin: Sequence[str] | None = None

    def where(self, row: int) -> tuple[str, ...]:
        """The names of a row's files in messages."""
        origin = f"in {self.tree.path}" if self.origin is None else self.origin[row]
        return tuple(f"{file} {origin}" for file in self.files[row])


@dataclass(frozen=True)
class Block:
    """Consecutive rows.

    Attributes:
        rows: the decoded rows (n, ...).
        contents: bytes of the first file of each row, if they were requested.
        remarks: made about the files, as rows of `Remarks`.
        pixels: number of pixels of each value (C, 256) of images (n, C, H, W), if it was counted.
    """

    rows: NDArray[Any]
    contents: list[bytes] | None = None
    remarks: list[dict[str, str | int]] = field(default_factory=list)
    pixels: NDArray[np.int64] | None = None


class FileRows:
    """An array (N, ...) whose rows are decoded from files. Indexing with a slice or an index array
    selects rows without reading them; `numpy.asarray` reads all of them into memory.

    Args:
        sets: the files; all with rows of equal shape and type.
        which: for each row, the number of its set (N,); None takes the rows of all sets in order.
        place: for each row, its number in its set (N,).
        channels_first: whether rows (H, W, C) are moved to (C, H, W).
    """

    def __init__(
        self,
        sets: Sequence[FileSet],
        which: NDArray[np.int64] | None = None,
        place: NDArray[np.int64] | None = None,
        channels_first: bool = False,
    ) -> None:
        self.sets, self._moved = tuple(sets), channels_first
        if which is None or place is None:
            sizes = [len(part.files) for part in self.sets]
            which = np.repeat(np.arange(len(sizes)), sizes)
            place = np.concatenate([np.arange(size) for size in sizes])
        self._which, self._place = which, place
        row = self.sets[0].shape
        self.shape = (len(place), *((row[-1], *row[:-1]) if channels_first else row))
        self.dtype = self.sets[0].dtype

    def __len__(self) -> int:
        return len(self._place)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of the decoded array."""
        return self.size * self.dtype.itemsize

    def __getitem__(self, index: slice | NDArray[Any]) -> FileRows:
        return FileRows(self.sets, self._which[index], self._place[index], self._moved)

    def names(self) -> list[str]:
        """The first file of each row."""
        pairs = zip(self._which.tolist(), self._place.tolist(), strict=True)
        return [self.sets[which].files[place][0] for which, place in pairs]

    def channels_first(self) -> FileRows:
        """The rows (H, W, C) as (C, H, W)."""
        return FileRows(self.sets, self._which, self._place, True)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        out = np.empty(self.shape, self.dtype)
        start = 0
        for block in self.blocks():
            out[start : start + len(block.rows)] = block.rows
            start += len(block.rows)
            for row in block.remarks:
                remark(str(row["text"]), str(row["example"]), int(row["count"]))
        return out if dtype is None else out.astype(dtype)

    def blocks(
        self, start: int = 0, *, keep: bool = False, scratch: Path | None = None
    ) -> Iterator[Block]:
        """Decode the rows from number `start` on, in order, with all cores.

        Args:
            start: number of the first row.
            keep: whether to return the bytes of each row's first file as well.
            scratch: folder for files of archives that can only be read from front to back; by
                default one below the system's folder for temporary files.

        Raises:
            BadInput: a file cannot be decoded.
        """
        if start >= len(self):
            return
        with reader_of(self.sets, scratch) as readers, DecodingPool(len(self) - start) as pool:
            sources = [
                Source(reader, part.decode) for reader, part in zip(readers, self.sets, strict=True)
            ]
            for done in pool.map(self._tasks(sources, start, keep)):
                yield Block(done.rows, done.contents, done.remarks, done.pixels)

    def _tasks(self, sources: list[Source], start: int, keep: bool) -> Iterator[Task]:
        size = self.nbytes // max(1, len(self))
        step = max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(1, size)))
        for first in range(start, len(self), step):
            rows = []
            part = slice(first, first + step)
            for which, place in zip(self._which[part], self._place[part], strict=True):
                files = self.sets[which]
                rows.append(Row(int(which), files.files[place], files.where(int(place))))
            used = {}
            for number in {row.source for row in rows}:
                source = sources[number]
                if isinstance(source.read, SpoolReader):
                    names = [name for row in rows if row.source == number for name in row.files]
                    source = Source(source.read.part(names), source.decode)
                used[number] = source
            yield Task(used, rows, self.shape[1:], self.dtype, self._moved, keep)


def join_rows(parts: Sequence[NDArray[Any] | FileRows]) -> NDArray[Any] | FileRows:
    """Concatenate arrays; without reading files if all of them are decoded from files."""
    if len(parts) == 1:
        return parts[0]
    lazy = [part for part in parts if isinstance(part, FileRows)]
    if len(lazy) < len(parts) or len({(p.shape[1:], p.dtype, p._moved) for p in lazy}) > 1:
        return np.concatenate([np.asarray(part) for part in parts])
    sets: list[FileSet] = []
    which = []
    for part in lazy:
        numbers = []
        for files in part.sets:
            if files not in sets:
                sets.append(files)
            numbers.append(sets.index(files))
        which.append(np.array(numbers, np.int64)[part._which])
    places = np.concatenate([part._place for part in lazy])
    return FileRows(sets, np.concatenate(which), places, lazy[0]._moved)


def loaded(array: NDArray[Any] | FileRows) -> NDArray[Any]:
    """The array in memory."""
    return array if isinstance(array, np.ndarray) else np.asarray(array)
