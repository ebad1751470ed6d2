"""Folding the events of a run into its trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mtsearch.config.errors import BadInput
from mtsearch.pareto import trial_order


@dataclass
class TrialRecord:
    """What the events say of one trial. `state` is running (also when its driver is gone), done,
    failed or stopped."""

    trial: str
    kind: str  # "search" or "control"
    control: str | None
    config: dict[str, Any]
    params: dict[str, Any]
    study: dict[str, Any]  # what the sampler keeps with the trial
    attempts: int = 0
    state: str = "running"
    reason: str | None = None
    selected: int | None = None
    reports: dict[int, dict[str, Any]] = field(default_factory=dict)
    test: dict[str, Any] = field(default_factory=dict)
    verdict: str | None = (
        None  # why it was to stop at its last report; without an end its driver died right then
    )

    @property
    def result(self) -> dict[str, Any]:
        """The selected report, else the last one, at the cost of the whole trial; empty before the
        first."""
        if not self.reports:
            return {}
        last = self.reports[max(self.reports)]
        spent = {name: value for name, value in last.items() if name.startswith("cost/")}
        return {**self.reports.get(self.selected or max(self.reports), last), **spent}


@dataclass
class RunState:
    """All trials of a run by identifier, in the order of their start; `changes` are the settings
    that resumes changed."""

    trials: dict[str, TrialRecord] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    space: str = ""
    profile: str | None = None
    overrides: tuple[str, ...] = ()
    single: bool = False  # one training by `mtsearch.train`, not a search
    started: float | None = None
    spent: float = 0.0  # seconds that earlier drivers worked
    # of trials that ended only the selected report is kept, as a driver's memory must not grow with
    # its reports
    slim: bool = False
    running: dict[str, TrialRecord] = field(default_factory=dict)
    ended: list[TrialRecord] = field(default_factory=list)  # in the order of their ends
    states: Counter[str] = field(default_factory=Counter)  # trials and controls by state
    kinds: Counter[str] = field(default_factory=Counter)  # and by kind
    _driver: tuple[float, float] | None = None

    @classmethod
    def from_events(cls, events: Iterable[Mapping[str, Any]], slim: bool = False) -> RunState:
        """The state after all events. Raises BadInput where an event does not fit those before
        it."""
        state = cls(slim=slim)
        for number, event in enumerate(events, start=1):
            try:
                state.apply(event)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise BadInput(
                    f"event {number} of the run, a `{event.get('event')}`, does not fit those"
                    f" before it ({type(error).__name__}: {error}). Restore events.jsonl from a"
                    " copy or remove that line."
                ) from None
        return state

    def apply(self, event: Mapping[str, Any]) -> None:
        """Fold one event in. What is already known (a report with a number seen before) changes
        nothing."""
        kind, now = event["event"], float(event["time"])
        self._clock(
            kind, float(event.get("clock", now))
        )  # logs of before there was one have the time of day only
        if kind == "run":
            self.space, self.profile, self.overrides = (
                event["space"],
                event.get("profile"),
                tuple(event["overrides"]),
            )
            self.single = bool(event.get("single", False))
            self.started = now
        elif kind == "resume":
            self.changes.update(event["changes"])
        elif kind == "start":
            known = self.trials.get(event["trial"])
            if known is None:
                known = self.trials[event["trial"]] = TrialRecord(
                    event["trial"],
                    event["kind"],
                    event.get("control"),
                    event["config"],
                    event["params"],
                    event.get("study", {}),
                )
                self.running[known.trial] = known
                self.states[known.state] += 1
                self.kinds[known.kind] += 1
            known.attempts = max(known.attempts, int(event["attempt"]))
        elif kind == "report":
            trial = self.trials[event["trial"]]
            if trial.state == "running" or not self.slim:
                trial.reports.setdefault(int(event["report"]), event["metrics"])
                trial.verdict = event.get("stop")
        elif kind == "end":
            self._end(self.trials[event["trial"]], event)
        elif kind == "test":
            self.trials[event["trial"]].test = dict(event["metrics"])

    def _end(self, trial: TrialRecord, event: Mapping[str, Any]) -> None:
        if trial.state != "running":
            return
        self.states[trial.state] -= 1
        trial.state, trial.reason, trial.selected = (
            event["state"],
            event.get("reason"),
            event.get("selected"),
        )
        self.states[trial.state] += 1
        self.ended.append(self.running.pop(trial.trial))
        if self.slim and trial.reports:
            number = trial.selected or max(trial.reports)
            trial.reports = {number: trial.result}

    @property
    def seconds(self) -> float:
        """Seconds that all drivers of this run have worked, up to their last events."""
        return self.spent + (self._driver[1] - self._driver[0] if self._driver else 0.0)

    def _clock(self, kind: str, now: float) -> None:
        if kind in ("run", "resume") or self._driver is None:
            self.spent = self.seconds
            self._driver = (now, now)
        else:
            self._driver = (self._driver[0], max(now, self._driver[1]))

    def sorted(self) -> list[TrialRecord]:
        """Search trials by number, then controls by name."""
        return sorted(self.trials.values(), key=order)


def order(trial: TrialRecord) -> tuple[bool, int, str]:
    """The key that sorts search trials by number, then controls by name (see `trial_order`)."""
    return trial_order(trial.trial, trial.kind == "control")
