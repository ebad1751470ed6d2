"""Writing of a store's arrays, record by record, so that memory does not depend on their size and
an interrupted writer continues after its last complete records."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import lmdb
import numpy as np
from numpy.typing import NDArray

from mtsearch.data.remarks import Remarks
from mtsearch.data.rows import Block, FileRows

RECORD = 1 << 20  # bytes
_PENDING = 32  # records of a transaction
_ROOM = 64 << 20  # bytes by which the largest size of the database grows
_STATE = b"~state"  # the rows written so far, and the remarks made about their files
_HASHING = 8  # blocks that wait for the hash
_NOTHING: dict[str, Any] = {"name": "", "rows": 0, "remarks": []}


class Writer:
    """Writes arrays to the database of a store.

    Arrays are written in the order of their names, because the checksum covers them in that order.
    An interrupted writer leaves complete records and its state; a writer of the same arrays
    continues after them. Records reach the disk at the end only: a machine that was restarted may
    have lost some, so the caller deletes what was written before.

    Args:
        folder: the store's folder.

    Raises:
        OSError: the store cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digest = hashlib.sha256()
        self._hasher = ThreadPoolExecutor(1)
        self._hashing: deque[Future[None]] = deque()
        self._pending: list[tuple[bytes, bytes]] = []
        self._states: deque[dict[str, Any]] = deque()
        self.remarks = Remarks()
        self.encoded: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}

    def __enter__(self) -> Self:
        data = self._folder / "data.mdb"
        self._size = 2 * _ROOM + (data.stat().st_size if data.exists() else 0)
        with _errors(self._folder):
            self._store = lmdb.open(str(self._folder), map_size=self._size, lock=False, sync=False)
            with self._store.begin() as transaction:
                found = transaction.get(_STATE)
        self._before: dict[str, Any] = json.loads(found) if found else _NOTHING
        for row in self._before["remarks"]:
            self.remarks.add(row["text"], row["example"], row["count"])
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None:
                self._commit(last=True)
                with _errors(self._folder):
                    self._store.sync(True)
        finally:
            self._hasher.shutdown()
            self._store.close()

    @property
    def checksum(self) -> str:
        """The SHA-256 of all arrays written, as of `mtsearch.data.store.checksum`."""
        for done in self._hashing:
            done.result()
        return self._digest.hexdigest()

    def _hash(self, content: bytes | memoryview) -> None:
        """Hash in a thread, beside decoding and writing."""
        self._hashing.append(self._hasher.submit(self._digest.update, content))
        while len(self._hashing) > _HASHING:
            self._hashing.popleft().result()

    def write(
        self, name: str, array: NDArray[Any] | FileRows, scratch: Path | None = None
    ) -> Iterator[Block]:
        """Write an array. Iterate over the result to the end: it yields the rows (n, ...) in order,
        those that were written before included.

        Args:
            name: key of the array, greater than that of the array before.
            array: its content (N, ...).
            scratch: see `FileRows.blocks`.
        """
        self._hash(f"{name} {array.dtype.str} {array.shape}\n".encode())
        row = array.nbytes // max(1, len(array))
        before = self._before
        done = len(array) if name < before["name"] else 0
        done = before["rows"] if name == before["name"] else done
        for rows in self._written(name, array, row, done):
            self._hash(_bytes_of(rows))
            yield Block(rows)
        start = done * row - done * row % RECORD
        record = bytearray(self._read(name, start, done * row))
        for block in _blocks(array, done, row, scratch):
            content = _bytes_of(block.rows)
            self._hash(content)
            for remark in block.remarks:
                text, example, count = remark["text"], remark["example"], remark["count"]
                self.remarks.add(str(text), str(example), int(count))
            done += len(block.rows)
            record += content
            state = {"name": name, "rows": done, "remarks": self.remarks.rows()}
            self._states.append(state | {"end": done * row})
            while len(record) >= RECORD:
                self._put(name, start, bytes(record[:RECORD]))
                del record[:RECORD]
                start += RECORD
            yield block
        if record:
            self._put(name, start, bytes(record))

    def encode(self, name: str, rows: FileRows, scratch: Path) -> Iterator[Block]:
        """Write the files that the rows are decoded from, in place of the rows: `<name>.files`,
        the files one after the other, `<name>.offsets`, the end of each (N+1,), and
        `<name>.names`, their names in lines. The checksum covers the decoded rows.

        Iterate over the result to the end, as for `write`. Files are not continued."""
        self._hash(f"{name} {rows.dtype.str} {rows.shape}\n".encode())
        offsets, start, record = [0], 0, bytearray()
        for block in rows.blocks(keep=True, scratch=scratch):
            self._hash(_bytes_of(block.rows))
            for remark in block.remarks:
                text, example, count = remark["text"], remark["example"], remark["count"]
                self.remarks.add(str(text), str(example), int(count))
            for content in block.contents or ():
                offsets.append(offsets[-1] + len(content))
                record += content
            while len(record) >= RECORD:
                self._put(f"{name}.files", start, bytes(record[:RECORD]))
                del record[:RECORD]
                start += RECORD
            yield block
        if record:
            self._put(f"{name}.files", start, bytes(record))
        names = "\n".join(rows.names()).encode(errors="surrogateescape")
        extra: dict[str, NDArray[Any]] = {
            "offsets": np.array(offsets, np.int64),
            "names": np.frombuffer(names, np.uint8),
        }
        for suffix, array in extra.items():
            content = bytes(_bytes_of(array))
            for first in range(0, len(content), RECORD):
                self._put(f"{name}.{suffix}", first, content[first : first + RECORD])
            self.encoded[f"{name}.{suffix}"] = array.shape, array.dtype
        self.encoded[f"{name}.files"] = (offsets[-1],), np.dtype(np.uint8)

    def _written(
        self, name: str, array: NDArray[Any] | FileRows, row: int, done: int
    ) -> Iterator[NDArray[Any]]:
        step = max(1, RECORD // max(1, row))
        for first in range(0, done, step):
            last = min(first + step, done)
            content = self._read(name, first * row, last * row)
            yield np.frombuffer(content, array.dtype).reshape(last - first, *array.shape[1:])

    def _read(self, name: str, start: int, stop: int) -> bytes:
        with self._store.begin(buffers=True) as transaction:
            return read_bytes(transaction, name, start, stop)

    def _put(self, name: str, start: int, record: bytes) -> None:
        self._pending.append((key(name, start), record))
        if len(self._pending) >= _PENDING:
            self._commit(name, start + len(record))

    def _commit(self, name: str = "", end: int = 0, *, last: bool = False) -> None:
        """Write the pending records, which end at byte `end` of array `name`, with the state of
        the rows that they complete."""
        while len(self._states) > 1 and (
            self._states[1]["name"] != name or self._states[1]["end"] <= end
        ):
            self._states.popleft()
        state = self._states[0] if self._states else None
        complete = state is not None and (state["name"] != name or state["end"] <= end)
        while True:
            try:
                with _errors(self._folder), self._store.begin(write=True) as transaction:
                    for place, record in self._pending:
                        transaction.put(place, record)
                    if last:
                        transaction.delete(_STATE)
                    elif complete:
                        transaction.put(_STATE, json.dumps(state).encode())
                break
            except lmdb.MapFullError:
                self._size += max(_ROOM, self._size // 2)
                self._store.set_mapsize(self._size)
        self._pending = []


def _bytes_of(rows: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data


def key(name: str, start: int) -> bytes:
    """The key of the record of an array that begins at byte `start`."""
    return f"{name}/{start // RECORD:06d}".encode()


def read_bytes(transaction: lmdb.Transaction, name: str, start: int, stop: int) -> bytes:
    """The bytes [start, stop) of an array in an open transaction with buffers. Raises KeyError
    where they are missing."""
    parts = []
    while start < stop:
        first = start - start % RECORD
        record = transaction.get(key(name, first))
        end = min(stop, first + RECORD)
        if record is None or len(record) < end - first:
            raise KeyError(f"no bytes {start}..{end} of {name}")
        parts.append(bytes(record[start - first : end - first]))
        start = end
    return b"".join(parts)


def _blocks(
    array: NDArray[Any] | FileRows, done: int, row: int, scratch: Path | None
) -> Iterator[Block]:
    if isinstance(array, FileRows):
        yield from array.blocks(done, scratch=scratch)
        return
    step = max(1, RECORD // max(1, row))
    for first in range(done, len(array), step):
        yield Block(array[first : first + step])


class _errors:
    """Turns errors of LMDB, but for a full map, into OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, lmdb.Error) and not isinstance(error, lmdb.MapFullError):
            raise OSError(f"{self._folder}: {error}") from error
