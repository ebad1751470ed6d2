"""The append-only event log of a run: strict JSON, one event a line, fsynced; torn last lines are
survived."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mtsearch.config.errors import BadInput, Halt

SCHEMA = 1
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NUMBERS = ("metrics", "reports")  # the fields whose non-finite numbers are written as text


def plain(value: Any) -> Any:
    """A JSON tree of `value`: non-finite numbers as ``"NaN"``, ``"Infinity"``, ``"-Infinity"``;
    NumPy scalars plain; tuples as lists."""
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
    """Truncate a file to its last newline, so that the next append starts a line of its own.
    Returns the number of bytes dropped."""
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
    """Events as dicts with `event` (what happened), `time` (Unix seconds) and `clock` (seconds
    since its writer began, which no change of the time of day moves) in the file at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None
        self._began = time.monotonic()

    def append(self, event: str, **fields: Any) -> dict[str, Any]:
        """Write one event and wait until it is on disk; the first append cuts off a torn last line.
        Returns the event as it reads back.

        Raises Halt where it cannot be written; nothing of it stays in the file then.
        """
        entry = {
            "event": event,
            "time": round(time.time(), 3),
            "clock": round(time.monotonic() - self._began, 3),
            **plain(fields),
        }
        line = json.dumps(entry, allow_nan=False, ensure_ascii=False).encode() + b"\n"
        try:
            if self._file is None:
                if self.path.exists():
                    cut_torn_line(self.path)
                self._file = self.path.open(
                    "ab", buffering=0
                )  # no buffer may write the rest of a failed line later
            self._write(line)
        except OSError as error:
            self.close()
            raise Halt(f"{self.path} cannot be written ({error.strerror}).") from error
        return _decoded(entry)

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

    def read(self) -> Iterator[dict[str, Any]]:
        """All whole events in order; a torn last line is left out. Raises BadInput where another
        line is damaged or of a newer schema."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return
                try:
                    entry = json.loads(line)
                    entry["event"], entry["time"]
                except (ValueError, KeyError, TypeError):
                    raise BadInput(
                        f"line {number} of {self.path} is no event of a run. Restore the file from"
                        " a copy or remove that line."
                    ) from None
                if entry.get("schema", SCHEMA) > SCHEMA:
                    raise BadInput(
                        f"{self.path.parent} was written by a newer mtsearch: its schema is"
                        f" {entry['schema']}, this version reads up to {SCHEMA}. Update mtsearch."
                    )
                yield _decoded(entry)

    def close(self) -> None:
        """Close the file; a later append opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _decoded(entry: dict[str, Any]) -> dict[str, Any]:
    return {k: numbers(v) if k in _NUMBERS else v for k, v in entry.items()}
