"""The view of a running search for the terminal and the observers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mtsearch.config.space import Space
from mtsearch.pareto.reference import Reference
from mtsearch.runs.driven import DrivenRun
from mtsearch.runs.state import RunState, TrialRecord

Listener = Callable[[str, TrialRecord, Mapping[str, Any]], None]
"""Called with ``trial`` (it starts), ``report``, ``ended`` or ``tested``, the trial and its
metrics, once the event is on disk."""


@dataclass(frozen=True)
class SearchStatus:
    """Number of trials in each state, size of the front, and hypervolume (NaN before the first
    result)."""

    states: Mapping[str, int]
    front: int
    hypervolume: float


class RunningSearch(Protocol):
    """A search that runs in this process, such as `mtsearch.strategy.manager.TrialManager`."""

    listener: Listener

    @property
    def run(self) -> DrivenRun:
        """The run, which contains its events."""

    @property
    def space(self) -> Space:
        """The search space, with the settings that resumes changed."""

    @property
    def state(self) -> RunState:
        """All trials so far."""

    @property
    def total(self) -> int:
        """Planned number of trials and controls."""

    @property
    def elapsed(self) -> float:
        """Working time of all drivers of this run, in seconds."""

    @property
    def front_size(self) -> int:
        """Number of non-dominated trials."""

    @property
    def hypervolume(self) -> float:
        """Hypervolume of the finished trials that satisfy the constraints; NaN if there is none."""

    @property
    def reference(self) -> Reference:
        """The reference point of the hypervolume, and the box that it is a share of."""

    def front(self) -> list[TrialRecord]:
        """The non-dominated trials, by number."""
