"""Hands the events of a search to its observers, so that none of them can hold it up or harm it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from mtsearch.tuning.observers.base import Observer, Standing, observer_of
from mtsearch.tuning.observers.metrics import RayMetrics
from mtsearch.tuning.record import TrialRecord, reason_of

if TYPE_CHECKING:
    from mtsearch.tuning.ledger import Ledger

BEHIND = 20_000  # calls that an observer may be behind
WAIT = 60.0  # seconds that the end of a search waits for its observers
Note = Callable[[str], None]


class Desk:
    """An observer behind a queue, in a thread of its own."""

    def __init__(self, name: str, make: Callable[[], Observer], note: Note) -> None:
        self._name, self._make, self._note = name, make, note
        self._queue: queue.SimpleQueue[tuple[str, tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._off = False
        self._thread = threading.Thread(target=self._serve, name=f"observer-{name}", daemon=True)
        self._thread.start()

    def put(self, method: str, *arguments: Any) -> None:
        """Have the observer called, soon."""
        if self._queue.qsize() >= BEHIND:
            self._switch_off(f"it is {BEHIND} calls behind")
        if not self._off:
            self._queue.put((method, arguments))

    def close(self, until: float) -> None:
        """Wait for the calls that are left, up to a time of the monotonic clock."""
        self._queue.put(None)
        self._thread.join(max(until - time.monotonic(), 0.0))
        if self._thread.is_alive():
            self._switch_off("it did not come to its end")

    def _serve(self) -> None:
        try:
            observer = self._make()
            while (call := self._queue.get()) is not None and not self._off:
                getattr(observer, call[0])(*call[1])
        except BaseException as error:  # whatever it raises is its own affair, in a thread of its own
            self._switch_off(reason_of(error))

    def _switch_off(self, reason: str) -> None:
        if not self._off:
            self._off = True
            self._note(f"the observer {self._name} is switched off, the search goes on: {reason}")


class Watch:
    """Listens to a ledger and tells its events to Ray's metrics and to the observers of `monitor`."""

    def __init__(self, ledger: Ledger, note: Note) -> None:
        config, run = ledger.space.config, ledger.run.path
        self._ledger, self._note = ledger, note
        title = f"{config.name}/{ledger.run.name}"
        self._desks = [
            Desk(settings.name, partial(observer_of(settings), settings, run, ledger.space, title), note) for settings in config.monitor
        ]
        self._metrics: RayMetrics | None = RayMetrics(title, ledger.total, tuple(o.metric for o in config.objectives))
        self._standing = self._stand()
        if self._desks:
            whole = ledger.run.record() if ledger.record.ended else ledger.record  # the ledger keeps less of what has ended
            self._put("started", [trial for trial in whole.sorted() if trial.state != "running"])

    def __call__(self, event: str, trial: TrialRecord, metrics: Mapping[str, Any]) -> None:
        """Take an event of the ledger: the name of an observer's method, the trial, and what came with it."""
        if event in ("trial", "ended"):
            self._standing = self._stand()
        extra: dict[str, tuple[Any, ...]] = {"report": (metrics,), "ended": (self._standing,)}
        if self._desks:
            self._put(event, _copy(trial), *extra.get(event, ()))
        if event != "tested":
            self._measure(event, trial, *{**extra, "trial": (self._standing,)}[event])

    def memory(self, trial: str, size: float | None) -> None:
        """What the GPU of a running trial has held at most, in bytes; None where it uses none."""
        if size is not None:
            self._measure("memory", trial, size)

    def renew(self) -> None:
        """Keep Ray's metrics alive. Costs nothing where they are not due."""
        self._measure("renew")

    def close(self) -> None:
        """Tell that the driver ends, and wait for the observers."""
        self._put("finished", self._stand(), [trial.trial for trial in self._ledger.front()])
        until = time.monotonic() + WAIT
        for desk in self._desks:
            desk.close(until)

    def _stand(self) -> Standing:
        states = {state: count for state, count in self._ledger.record.states.items() if count}
        return Standing(states, self._ledger.front_size, self._ledger.hypervolume)

    def _put(self, method: str, *arguments: Any) -> None:
        for desk in self._desks:
            desk.put(method, *arguments)

    def _measure(self, method: str, *arguments: Any) -> None:
        if self._metrics is None:
            return
        try:
            getattr(self._metrics, method)(*arguments)
        except Exception as error:  # as an observer's
            self._metrics = None
            self._note(f"Ray's metrics are switched off, the search goes on: {reason_of(error)}")


def _copy(trial: TrialRecord) -> TrialRecord:
    """A record that does not change under an observer's hands."""
    return replace(trial, reports=dict(trial.reports), test=dict(trial.test))


@contextmanager
def watching(ledger: Ledger, note: Note) -> Iterator[Watch]:
    """Have the observers told what this ledger writes down, to the end of the context. `note` prints a line."""
    watch = Watch(ledger, note)
    ledger.listener = watch
    try:
        yield watch
    finally:
        watch.close()
