"""Hands the events of a search to its observers, so that none of them can hold it up or harm it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from mtsearch.config.errors import reason_of
from mtsearch.observers.base import Observer, observer_of
from mtsearch.runs.state import TrialRecord
from mtsearch.runs.status import RunningSearch, SearchStatus

BEHIND = 20_000  # calls that an observer may be behind
WAIT = 60.0  # seconds that the end of a search waits for its observers
Note = Callable[[str], None]


class ObserverThread:
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
        except (
            BaseException
        ) as error:  # whatever it raises is its own affair, in a thread of its own
            self._switch_off(reason_of(error))

    def _switch_off(self, reason: str) -> None:
        if not self._off:
            self._off = True
            self._note(f"the observer {self._name} is switched off, the search goes on: {reason}")


class Metrics(Protocol):
    """Live figures of a search that are exported beside its observers, such as Ray's metrics. Calls
    must be cheap: they are synchronous."""

    def trial(self, trial: TrialRecord, status: SearchStatus) -> None:
        """A trial starts or continues."""

    def report(self, trial: TrialRecord, report: Mapping[str, Any]) -> None:
        """A running trial has reported."""

    def memory(self, trial: str, size: float) -> None:
        """The most GPU memory that a running trial has held, in bytes."""

    def ended(self, trial: TrialRecord, status: SearchStatus) -> None:
        """A trial is done, stopped or failed."""

    def renew(self) -> None:
        """Export again what does not change, where the exporter forgets it."""


class ObserverDispatcher:
    """Passes the events of a search to its metrics and to the observers of `monitor`.

    Args:
        search: whose events are passed on.
        note: prints a line for the user.
        metrics: live figures; None exports none.
    """

    def __init__(self, search: RunningSearch, note: Note, metrics: Metrics | None = None) -> None:
        config, run = search.space.config, search.run.path
        self._search, self._note, self._metrics = search, note, metrics
        self._threads = [
            ObserverThread(
                settings.name,
                partial(observer_of(settings), settings, run, search.space, search.run.title),
                note,
            )
            for settings in config.monitor
        ]
        self._status = self._current_status()
        if self._threads:
            whole = (
                search.run.read_state() if search.state.ended else search.state
            )  # the search keeps less of what has ended
            self._put("started", [trial for trial in whole.sorted() if trial.state != "running"])

    def __call__(self, event: str, trial: TrialRecord, metrics: Mapping[str, Any]) -> None:
        """Take an event of the search: the name of an observer's method, the trial, and what came
        with it."""
        if event in ("trial", "ended"):
            self._status = self._current_status()
        extra: dict[str, tuple[Any, ...]] = {"report": (metrics,), "ended": (self._status,)}
        if self._threads:
            self._put(event, _copy(trial), *extra.get(event, ()))
        if event != "tested":
            self._measure(event, trial, *{**extra, "trial": (self._status,)}[event])

    def memory(self, trial: str, size: float | None) -> None:
        """What the GPU of a running trial has held at most, in bytes; None where it uses none."""
        if size is not None:
            self._measure("memory", trial, size)

    def renew(self) -> None:
        """Export the metrics again where they are due."""
        self._measure("renew")

    def close(self) -> None:
        """Tell that the driver ends, and wait for the observers."""
        self._put(
            "finished", self._current_status(), [trial.trial for trial in self._search.front()]
        )
        until = time.monotonic() + WAIT
        for thread in self._threads:
            thread.close(until)

    def _current_status(self) -> SearchStatus:
        states = {state: count for state, count in self._search.state.states.items() if count}
        return SearchStatus(states, self._search.front_size, self._search.hypervolume)

    def _put(self, method: str, *arguments: Any) -> None:
        for thread in self._threads:
            thread.put(method, *arguments)

    def _measure(self, method: str, *arguments: Any) -> None:
        if self._metrics is None:
            return
        try:
            getattr(self._metrics, method)(*arguments)
        except Exception as error:  # as an observer's
            self._metrics = None
            self._note(f"the live metrics are switched off, the search goes on: {reason_of(error)}")


def _copy(trial: TrialRecord) -> TrialRecord:
    """A record that does not change under an observer's hands."""
    return replace(trial, reports=dict(trial.reports), test=dict(trial.test))


@contextmanager
def dispatch_events(
    search: RunningSearch, note: Note, metrics: Metrics | None = None
) -> Iterator[ObserverDispatcher]:
    """Pass the events of a search to its observers and metrics until the context ends. Arguments as
    for `ObserverDispatcher`."""
    dispatcher = ObserverDispatcher(search, note, metrics)
    search.listener = dispatcher
    try:
        yield dispatcher
    finally:
        dispatcher.close()
