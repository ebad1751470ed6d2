"""Decoding with all cores: processes that decode blocks of files while a dataset is prepared.

The processes are started with a fresh interpreter that imports neither torch nor the caller's main
module, so that a script needs no `if __name__ == "__main__"` and a process takes little memory.
They end when their standard input closes, which it does when the caller ends for any reason.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.errors import BadInput
from mtsearch.data.remarks import collect_remarks

FEW_ROWS = 1000
"""Below this number of rows, starting processes takes longer than decoding in this one."""
_WAITING = 3  # blocks in work per process


@dataclass(frozen=True)
class Source:
    """How rows are read (`mtsearch.data.spool.Reader`) and decoded
    (`mtsearch.data.rows.Decode`)."""

    read: Any
    decode: Any


@dataclass(frozen=True)
class Row:
    """The source of a row, its files, and their names in messages."""

    source: int
    files: tuple[str, ...]
    where: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """A block to decode: its rows of shape ``shape`` and type ``dtype``, by the sources that they
    name; ``moved`` moves the last axis to the front, and ``keep`` returns the bytes of each row's
    first file."""

    sources: dict[int, Source]
    rows: list[Row]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    moved: bool
    keep: bool

    def run(self) -> Done:
        """Decode the rows. Raises `BadInput` for a file that cannot be decoded."""
        out = np.empty((len(self.rows), *self.shape), self.dtype)
        contents: list[bytes] | None = [] if self.keep else None
        with collect_remarks() as remarks:
            for place, row in zip(out, self.rows, strict=True):
                source = self.sources[row.source]
                found = source.read(row.files)
                decoded = source.decode(found, row.where)
                place[...] = np.moveaxis(decoded, -1, 0) if self.moved else decoded
                if contents is not None:
                    contents.append(found[0])
        return Done(out, contents, remarks.rows(), count_pixels(out) if self.moved else None)


@dataclass(frozen=True)
class Done:
    """Decoded rows, the bytes of their first files, the remarks made, and the number of pixels of
    each value (C, 256) of images."""

    rows: NDArray[Any]
    contents: list[bytes] | None
    remarks: list[dict[str, str | int]]
    pixels: NDArray[np.int64] | None


def cores() -> int:
    """The cores that this process may use: of its affinity, within the quota of its control
    group."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        return max(1, min(count or 1, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no control groups, or no quota
        return count or 1


def count_pixels(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The number of pixels of each value (C, 256) of images (N, C, H, W)."""
    counts = [np.bincount(channel.reshape(-1), minlength=256) for channel in images.swapaxes(0, 1)]
    return np.array(counts, np.int64)


class DecodingPool:
    """Runs tasks in as many processes as there are cores, or in this process if there are few rows
    or one core.

    Args:
        rows: number of rows that will be decoded.
    """

    def __init__(self, rows: int) -> None:
        self._count = cores() if rows >= FEW_ROWS else 1
        self._idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        self._all: list[_Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._all:
            process.close()

    def map(self, tasks: Iterator[Task]) -> Iterator[Done]:
        """The results of the tasks, in their order. The number of tasks in work is limited, so that
        memory does not depend on the number of tasks.

        Raises:
            BadInput: a file cannot be decoded.
        """
        if self._count == 1:
            for task in tasks:
                yield task.run()
            return
        for _ in range(self._count - len(self._all)):
            self._all.append(_Process())
            self._idle.put(self._all[-1])
        with ThreadPoolExecutor(self._count) as threads:
            waiting: deque[Future[Done]] = deque()
            try:
                for task in tasks:
                    waiting.append(threads.submit(self._run, task))
                    if len(waiting) >= _WAITING * self._count:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _run(self, task: Task) -> Done:
        process = self._idle.get()
        try:
            return process.run(task)
        finally:
            self._idle.put(process)


class _Process:
    """A process that decodes one task after another."""

    def __init__(self) -> None:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from mtsearch.data.decoding_pool import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **threads, "PYTHONPATH": paths},
        )

    def run(self, task: Task) -> Done:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            pickle.dump(task, self._process.stdin, protocol=5)
            self._process.stdin.flush()
            found = pickle.load(self._process.stdout)
        except (OSError, EOFError) as error:
            code = self._process.wait()
            raise OSError(f"a process that decodes images ended with code {code}") from error
        if isinstance(found, str):
            raise BadInput(found)
        if isinstance(found, BaseException):
            raise found
        return found  # type: ignore[no-any-return]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                assert pipe is not None
                pipe.close()
            except OSError:  # the rest of a task that was not read
                pass


def serve() -> None:
    """Run the tasks that come from standard input until it closes. Results go to standard output,
    a `BadInput` as its sentence and other exceptions as they are."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the caller, which ends this process
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the results
    while (task := _next(sys.stdin.buffer)) is not None:
        result: Done | str | BaseException
        try:
            result = task.run()
        except BadInput as error:
            result = str(error)
        except Exception as error:
            result = error
        pickle.dump(result, out, protocol=5)
        out.flush()


def _next(stream: IO[bytes]) -> Task | None:
    try:
        return pickle.load(stream)  # type: ignore[no-any-return]
    except EOFError:
        return None
