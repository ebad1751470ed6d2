"""The append-only event log of a run: strict JSON, one event per line, each written with fsync. A
torn last line is ignored by readers and removed by the next writer."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from mtsearch.config.errors import BadInput, Halt

SCHEMA = 2
"""Version of the log. 2: every event has the run's id, and the first one the checksum of
config.yaml. Logs of version 1 are read as they are: their id is derived from their first line."""

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NUMBERS = ("metrics", "reports", "points")  # fields whose non-finite numbers are written as text
_LONGEST = 64 * 2**20  # bytes of a line
_DEEPEST = 64  # levels of nesting
_LARGEST = 2**64  # bound of the magnitude of whole numbers


def plain(value: Any) -> Any:
    """A JSON tree of `value`: non-finite numbers as ``"NaN"``, ``"Infinity"``, ``"-Infinity"``;
    NumPy scalars as Python numbers; tuples as lists."""
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def numbers(value: Any) -> Any:
    """The inverse of `plain` for a tree of metrics: the three texts become floats again."""
    if isinstance(value, str):
        return _NON_FINITE.get(value, value)
    if isinstance(value, dict):
        return {k: numbers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [numbers(v) for v in value]
    return value


def cut_torn_line(path: Path) -> int:
    """Truncate a file to its last newline, so that the next append starts a new line. Returns the
    number of bytes removed."""
    size = path.stat().st_size
    with path.open("rb+") as file:
        end, block = size, 4096
        while end > 0:
            start = max(0, end - block)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)
            file.flush()
            os.fsync(file.fileno())
    return size - end


class EventLog:
    """Writes events to the file at `path`.

    An event is a dict with `event` (its kind), `run` (the run's id), `time` (Unix seconds) and
    `clock` (seconds since this writer began, which no change of the system time moves).

    Args:
        path: of the file.
        run_id: id of the run; None writes events without one.
        on_append: called with each event once it is on disk.
    """

    def __init__(
        self,
        path: Path,
        run_id: str | None = None,
        on_append: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self.path = path
        self._run_id, self._on_append = run_id, on_append
        self._file: Any = None
        self._began = time.monotonic()

    def append(self, event: str, **fields: Any) -> dict[str, Any]:
        """Write one event and wait until it is on disk. The first append removes a torn last line.

        Returns:
            The event as a reader gets it.

        Raises:
            Halt: the file cannot be written; nothing of the event stays in it.
        """
        entry = {
            "event": event,
            **({} if self._run_id is None else {"run": self._run_id}),
            "time": round(time.time(), 3),
            "clock": round(time.monotonic() - self._began, 3),
            **plain(fields),
        }
        line = json.dumps(entry, allow_nan=False, ensure_ascii=False).encode() + b"\n"
        try:
            if self._file is None:
                if self.path.exists():
                    cut_torn_line(self.path)
                # unbuffered, as a buffer could write the rest of a failed line later
                self._file = self.path.open("ab", buffering=0)
            self._write(line)
        except OSError as error:
            self.close()
            raise Halt(f"{self.path} cannot be written ({error.strerror}).") from error
        found = _decoded(entry)
        if self._on_append is not None:
            self._on_append(found)
        return found

    def _write(self, line: bytes) -> None:
        size = os.fstat(self._file.fileno()).st_size
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError:
            os.ftruncate(self._file.fileno(), size)
            raise

    def close(self) -> None:
        """Close the file; a later append opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None


class EventReader:
    """Reads the whole lines of a log; each call of `read_new` continues after the previous one.

    Args:
        path: of the log.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 0  # number of the last line that was read
        self._offset = 0
        self._seen: tuple[int, int, int] | None = None  # inode, size and time of the last read
        self._last = b""

    def replaced(self) -> bool:
        """Whether the file is no longer the one whose lines were read: another file, shorter,
        changed without growing, or different where this reader stopped."""
        if self._seen is None:
            return False
        try:
            found = self.path.stat()
            inode, size, when = self._seen
            if found.st_ino != inode or found.st_size < size:
                return True
            if found.st_size == size:
                return found.st_mtime_ns != when
            with self.path.open("rb") as file:
                file.seek(self._offset - len(self._last))
                return file.read(len(self._last)) != self._last
        except OSError:
            return True

    def read_new(self) -> Iterator[dict[str, Any]]:
        """The whole events after the last one read, in order; `line` is the number of each. Raises
        BadInput where a line is damaged or of a newer schema."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            found = os.fstat(file.fileno())
            self._seen = (found.st_ino, found.st_size, found.st_mtime_ns)
            file.seek(self._offset)
            while (line := self._next_line(file)) is not None:
                self.line += 1
                event = self._parsed(line)
                self._offset += len(line)
                self._last = line[-256:]
                yield event

    def _next_line(self, file: BinaryIO) -> bytes | None:
        line = file.readline(_LONGEST + 1)
        if len(line) > _LONGEST:
            raise BadInput(
                f"line {self.line + 1} of {self.path} is longer than {_LONGEST} bytes. Restore the"
                " file from a copy or remove that line."
            )
        return line if line.endswith(b"\n") else None

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            entry = json.loads(line, parse_constant=_refuse_constant)
            if not isinstance(entry["event"], str):
                raise TypeError("`event` is not text")
            _check_bounds(entry, _DEEPEST)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise BadInput(
                f"line {self.line} of {self.path} is not an event of a run. Restore the file from a"
                " copy or remove that line."
            ) from None
        schema = entry.get("schema", 1)
        if isinstance(schema, int) and schema > SCHEMA:
            raise BadInput(
                f"{self.path.parent} was written by a newer mtsearch: its schema is {schema}, this"
                f" version reads up to {SCHEMA}. Update mtsearch."
            )
        return _decoded(entry)


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """All whole events of a log, in order. Raises BadInput as `EventReader.read_new`."""
    return EventReader(path).read_new()


def run_id_of(first: Mapping[str, Any]) -> str:
    """The id of a run by its first event; of a log of schema 1, a hash of that event."""
    if "run" in first:
        return str(first["run"])
    return hashlib.sha256(json.dumps(first, sort_keys=True).encode()).hexdigest()[:32]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _check_bounds(value: Any, levels: int) -> None:
    """Raises ValueError for nesting and whole numbers that no event has, and for literals such as
    1e999, which Python reads as infinite."""
    if levels == 0:
        raise ValueError("too deeply nested")
    for part in value.values() if isinstance(value, dict) else value:
        kind = type(part)
        if kind is dict or kind is list:
            _check_bounds(part, levels - 1)
        elif (kind is int and not -_LARGEST < part < _LARGEST) or (
            kind is float and not -math.inf < part < math.inf
        ):
            raise ValueError("a number out of range")


def _decoded(entry: dict[str, Any]) -> dict[str, Any]:
    return {k: numbers(v) if k in _NUMBERS else v for k, v in entry.items()}
