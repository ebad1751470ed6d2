"""Rows of a store's arrays, read from its memory-mapped database when they are needed.

All processes of a node read the same pages of the operating system's cache. A database is mapped
for one read at a time, so that the pages do not add up to the memory of a process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from numpy.typing import NDArray

from mtsearch.config.errors import Damaged
from mtsearch.data.writing import RECORD, key

_reading = threading.Lock()


def _renew_lock() -> None:
    global _reading
    _reading = threading.Lock()


# LMDB maps a file once in a process. No process is forked while the file is mapped.
os.register_at_fork(
    before=lambda: _reading.acquire(),
    after_in_parent=lambda: _reading.release(),
    after_in_child=_renew_lock,
)


@contextmanager
def mapped(path: Path) -> Iterator[lmdb.Transaction]:
    """A read transaction with buffers in the database of a store. Buffers are valid within the
    block. Raises `Damaged` if the database lacks what is read."""
    try:
        with (
            _reading,
            lmdb.open(str(path), readonly=True, lock=False, readahead=False) as environment,
            environment.begin(buffers=True) as transaction,
        ):
            yield transaction
    except (lmdb.Error, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Damaged(
            f"The store {path} does not contain what its manifest lists ({error});"
            f" delete the folder {path} and prepare the dataset again."
        ) from error


@dataclass(frozen=True)
class Column:
    """An array (N, ...) of a store.

    Attributes:
        path: the store's folder.
        name: key of the array.
        shape: of a row.
        dtype: of a row.
        count: N.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    count: int

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[Any]:
        """The rows (n, ...) with these numbers, in this order. Raises `Damaged`."""
        out = np.empty((len(rows), *self.shape), self.dtype)
        flat = out.reshape(len(rows), -1).view(np.uint8) if out.size else out
        size = flat.shape[1] if out.size else 0
        with mapped(self.path) as transaction:
            for place, row in enumerate(rows):
                copy_bytes(transaction, self.name, int(row) * size, flat[place])
        return out


def copy_bytes(
    transaction: lmdb.Transaction, name: str, start: int, out: NDArray[np.uint8]
) -> None:
    """Fill `out` (n,) with the bytes of an array from `start` on."""
    done = 0
    while done < len(out):
        at = start + done
        skip = at % RECORD
        record = transaction.get(key(name, at))
        if record is None:
            raise KeyError(f"no byte {at} of {name}")
        part = np.frombuffer(record, np.uint8)[skip : skip + len(out) - done]
        if not len(part):
            raise KeyError(f"no byte {at} of {name}")
        out[done : done + len(part)] = part
        done += len(part)


def all_bytes(transaction: lmdb.Transaction, name: str) -> bytes:
    """All bytes of an array."""
    parts: list[bytes] = []
    while (record := transaction.get(key(name, len(parts) * RECORD))) is not None:
        parts.append(bytes(record))
    return b"".join(parts)
