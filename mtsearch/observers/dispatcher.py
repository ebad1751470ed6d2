"""Passes the events of a search to its observers, isolated so that they cannot delay or end it."""

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

MAX_PENDING = 20_000  # pending calls after which an observer is switched off
END_TIMEOUT = 60.0  # seconds to wait for the observers at the end of a search
Note = Callable[[str], None]


class ObserverThread:
    """An observer with a queue of calls, in a thread of its own."""

    def __init__(self, name: str, make: Callable[[], Observer], note: Note) -> None:
        self._name, self._make, self._note = name, make, note
        self._queue: queue.SimpleQueue[tuple[str, tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._off = False
        self._thread = threading.Thread(target=self._serve, name=f"observer-{name}", daemon=True)
        self._thread.start()

    def put(self, method: str, *arguments: Any) -> None:
        """Queue a call of the observer."""
        if self._queue.qsize() >= MAX_PENDING:
            self._switch_off(f"it is {MAX_PENDING} calls behind")
        if not self._off:
            self._queue.put((method, arguments))

    def close(self, until: float) -> None:
        """Wait for the pending calls, up to a time of the monotonic clock."""
        self._queue.put(None)
        self._thread.join(max(until - time.monotonic(), 0.0))
        if self._thread.is_alive():
            self._switch_off("it did not finish in time")

    def _serve(self) -> None:
        try:
            observer = self._make()
            while (call := self._queue.get()) is not None and not self._off:
                getattr(observer, call[0])(*call[1])
        # An exception of an observer, of any class, must not end the search.
        except BaseException as error:
            self._switch_off(reason_of(error))

    def _switch_off(self, reason: str) -> None:
        if not self._off:
            self._off = True
            self._note(f"the observer {self._name} is switched off, the search continues: {reason}")


class Metrics(Protocol):
    """Live metrics of a search that are exported beside its observers, such as Ray's metrics. Calls
    are synchronous and must be fast."""

    def trial(self, trial: TrialRecord, status: SearchStatus) -> None:
        """A trial starts or continues."""

    def report(self, trial: TrialRecord, report: Mapping[str, Any]) -> None:
        """A running trial has reported."""

    def memory(self, trial: str, size: float) -> None:
        """The peak GPU memory of a running trial, in bytes."""

    def ended(self, trial: TrialRecord, status: SearchStatus) -> None:
        """A trial is done, stopped or failed."""

    def renew(self) -> None:
        """Export constant metrics again, for exporters that drop them."""


class ObserverDispatcher:
    """Passes the events of a search to its metrics and to the observers of `monitor`.

    Args:
        search: source of the events.
        note: prints a line for the user.
        metrics: live metrics; None exports none.
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
            # The search keeps only a part of the records of ended trials.
            whole = search.run.read_state() if search.state.ended else search.state
            self._put("started", [trial for trial in whole.sorted() if trial.state != "running"])

    def __call__(self, event: str, trial: TrialRecord, metrics: Mapping[str, Any]) -> None:
        """Process an event of the search: the name of an observer's method, the trial and its
        metrics."""
        if event in ("trial", "ended"):
            self._status = self._current_status()
        extra: dict[str, tuple[Any, ...]] = {"report": (metrics,), "ended": (self._status,)}
        if self._threads:
            self._put(event, _copy(trial), *extra.get(event, ()))
        if event != "tested":
            self._measure(event, trial, *{**extra, "trial": (self._status,)}[event])

    def memory(self, trial: str, size: float | None) -> None:
        """Record the peak GPU memory of a running trial, in bytes; None if it uses no GPU."""
        if size is not None:
            self._measure("memory", trial, size)

    def renew(self) -> None:
        """Export the metrics again if they are due."""
        self._measure("renew")

    def close(self) -> None:
        """Report the end of the driver and wait for the observers."""
        self._put(
            "finished", self._current_status(), [trial.trial for trial in self._search.front()]
        )
        until = time.monotonic() + END_TIMEOUT
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
        except Exception as error:  # metrics must not end the search either
            self._metrics = None
            self._note(
                f"the live metrics are switched off, the search continues: {reason_of(error)}"
            )


def _copy(trial: TrialRecord) -> TrialRecord:
    """A copy of a record, which the search does not change while an observer reads it."""
    return replace(trial, reports=dict(trial.reports), test=dict(trial.test))


@contextmanager
def dispatch_events(
    search: RunningSearch, note: Note, metrics: Metrics | None = None
) -> Iterator[ObserverDispatcher]:
    """Pass the events of a search to its observers and metrics until the context ends. The
    arguments are those of `ObserverDispatcher`."""
    dispatcher = ObserverDispatcher(search, note, metrics)
    search.listener = dispatcher
    try:
        yield dispatcher
    finally:
        dispatcher.close()
