"""Progress of a long command: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

QUIET = 5.0  # seconds between two lines


@contextmanager
def showing(
    console: Console, what: str, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int, int], None]]:
    """A function that shows `done` of `total` and the remaining time.

    Args:
        console: where it is shown. A terminal gets a bar, a log file a line every 5 seconds.
        what: the first word of a line.
        clock: returns seconds.
    """
    if not console.is_terminal:
        yield _Lines(console, what, clock)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Lines:
    def __init__(self, console: Console, what: str, clock: Callable[[], float]) -> None:
        self._console, self._what, self._clock = console, what, clock
        self._start = self._last = clock()
        self._first: int | None = None

    def __call__(self, done: int, total: int) -> None:
        now = self._clock()
        if self._first is None:  # images of an interrupted command do not count for the speed
            self._first = done
        if now - self._last < QUIET:
            return
        self._last = now
        speed = (done - self._first) / (now - self._start)
        left = f", about {(total - done) / speed:,.0f} s left" if speed > 0 else ""
        self._console.print(
            f"{self._what}  {done:,} of {total:,} images{left}", markup=False, highlight=False
        )
