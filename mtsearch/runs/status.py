"""What the terminal and the observers read of a search while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mtsearch.config.space import Space
from mtsearch.runs.driven import DrivenRun
from mtsearch.runs.state import RunState, TrialRecord

Listener = Callable[[str, TrialRecord, Mapping[str, Any]], None]
"""Is called with ``trial`` (it starts), ``report``, ``ended`` or ``tested``, the trial and its
metrics, once the event is on disk."""


@dataclass(frozen=True)
class SearchStatus:
    """How many trials are in each state, the front's size, and the hypervolume (NaN before the
    first result)."""

    states: Mapping[str, int]
    front: int
    hypervolume: float


class RunningSearch(Protocol):
    """A search that runs in this process, as `mtsearch.strategy.manager.TrialManager` drives it."""

    listener: Listener

    @property
    def run(self) -> DrivenRun:
        """Where its events are."""

    @property
    def space(self) -> Space:
        """What is searched, with the settings that resumes changed."""

    @property
    def state(self) -> RunState:
        """All trials so far."""

    @property
    def total(self) -> int:
        """Trials and controls that there are to be."""

    @property
    def elapsed(self) -> float:
        """Seconds that drivers have worked on this run."""

    @property
    def front_size(self) -> int:
        """How many trials are non-dominated."""

    @property
    def hypervolume(self) -> float:
        """Of the finished trials that satisfy the constraints; NaN while there is none."""

    def front(self) -> list[TrialRecord]:
        """The non-dominated trials, by number."""
