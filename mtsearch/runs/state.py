"""The state of a run: its trials, from its events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mtsearch.config.errors import BadInput
from mtsearch.config.text import printable
from mtsearch.pareto import configuration_of, repeat_of, trial_of, trial_order
from mtsearch.runs.event_checks import ENDING, check_event
from mtsearch.runs.events import run_id_of
from mtsearch.runs.points import point_config, point_name


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
    # of the final network, on a clock
    measured: dict[str, Any] = field(default_factory=dict)
    # why it was to stop at its last report; without an end event its driver died right then
    verdict: str | None = None
    # working seconds of the run's drivers at its start and at its last event
    began: float = 0.0
    last: float = 0.0
    # of a trial with points that is done: a record per point, by index
    points: list[TrialRecord] = field(default_factory=list)
    # of a point: its `preference`, or its `level` of sparsity
    point: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> list[TrialRecord]:
        """The rows of the tables: the points, or the trial itself where it has none."""
        return self.points or [self]

    @property
    def repeat(self) -> int:
        """The number of a repeat with another seed; 0 for a trial that repeats no other one."""
        return repeat_of(self.trial)

    @property
    def configuration(self) -> str:
        """The name of the trial that this one repeats, else its own."""
        return configuration_of(self.trial)

    @property
    def result(self) -> dict[str, Any]:
        """The selected report, else the last one, at the cost of the whole trial and with what was
        measured of the final network; empty before the first."""
        if not self.reports:
            return {}
        last = self.reports[max(self.reports)]
        spent = {name: value for name, value in last.items() if name.startswith("cost/")}
        chosen = self.reports.get(self.selected or max(self.reports), last)
        return {**chosen, **spent, **self.measured}


@dataclass
class RunState:
    """All trials of a run by identifier, in the order of their start; `changes` are the settings
    that resumes changed."""

    trials: dict[str, TrialRecord] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    space: str = ""
    profile: str | None = None
    overrides: tuple[str, ...] = ()
    stop: str | None = None  # which rule of `search.stop` has ended the search
    single: bool = False  # one training by `mtsearch.train`, not a search
    schema: int = 1  # of the log
    run_id: str = ""
    config_sha256: str | None = None  # of config.yaml when the run began; None in schema 1
    started: float | None = None
    spent: float = 0.0  # seconds that earlier drivers worked
    # keep only the selected report of trials that ended: the memory of a driver must not grow with
    # the number of reports
    slim: bool = False
    running: dict[str, TrialRecord] = field(default_factory=dict)
    ended: list[TrialRecord] = field(default_factory=list)  # in the order of their ends
    states: Counter[str] = field(default_factory=Counter)  # trials and controls by state
    kinds: Counter[str] = field(default_factory=Counter)  # by kind, repeats left out
    _driver: tuple[float, float] | None = None

    @classmethod
    def from_events(cls, events: Iterable[Mapping[str, Any]], slim: bool = False) -> RunState:
        """The state after all events. Raises BadInput where an event does not fit those before
        it."""
        state = cls(slim=slim)
        for number, event in enumerate(events, start=1):
            state.fold(event, number)
        return state

    def fold(self, event: Mapping[str, Any], line: int) -> None:
        """Check an event that was read from line `line` and apply it. Raises BadInput with the line
        where its form is wrong, it is of another run, or it does not fit those before it."""
        try:
            check_event(event)
            self._check_order(event)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            kind = printable(str(event.get("event"))[:20])
            raise BadInput(
                f"line {line} of events.jsonl, a `{kind}` event, does not fit the run: {error}."
                " Restore events.jsonl from a copy or remove that line."
            ) from None
        self.apply(event)

    def _check_order(self, event: Mapping[str, Any]) -> None:
        """Raises ValueError where an event of the right form contradicts those before it. What logs
        of schema 1 may contain is accepted in them."""
        kind = event["event"]
        if kind == "run":
            if self.started is not None:
                raise ValueError("the run has begun before")
            if event.get("schema", 1) > 1 and not ("run" in event and "config_sha256" in event):
                raise ValueError("it lacks `run` or `config_sha256`")
            return
        if event.get("run", None if self.schema > 1 else self.run_id) != self.run_id:
            raise ValueError("it is an event of another run")
        if kind in ("resume", "note", "stop"):
            return
        trial = (self.find if kind == "test" else self.trials.get)(event["trial"])
        if kind == "start":
            if trial is not None and (trial.kind, trial.config) != (event["kind"], event["config"]):
                raise ValueError("the trial began before with another configuration")
            return
        if trial is None:
            raise ValueError("its trial has not begun")
        if kind == "end":
            selected = event.get("selected")
            if trial.state == "running" and selected is not None:
                if selected not in trial.reports:
                    raise ValueError(
                        f"its `selected` is {selected}, which is not a report before it"
                    )
            elif trial.state == "running" and event["state"] == "done":
                raise ValueError("it lacks `selected`")
            elif trial.state != "running" and self.schema > 1:
                raise ValueError("the trial has ended before")
        elif kind == "test" and trial.test and self.schema > 1:
            raise ValueError("the trial was tested before")

    def apply(self, event: Mapping[str, Any]) -> None:
        """Apply one event of the right form. What is already known (a report with a number seen
        before) changes nothing."""
        kind, now = event["event"], float(event["time"])
        # logs of before there was a clock have the time of day only
        self._clock(kind, float(event.get("clock", now)))
        if kind == "run":
            self.space, self.profile = event["space"], event.get("profile")
            self.overrides = tuple(event["overrides"])
            self.single = bool(event.get("single", False))
            self.schema, self.run_id = event.get("schema", 1), run_id_of(event)
            self.config_sha256 = event.get("config_sha256")
            self.started = now
        elif kind == "resume":
            self.changes.update(event["changes"])
            if not ENDING.isdisjoint(event["changes"]):  # the rules are applied anew
                self.stop = None
        elif kind == "stop":
            self.stop = printable(event["reason"])
        elif kind == "start":
            self._start(event)
        elif kind == "report":
            trial = self.trials[event["trial"]]
            if trial.state == "running" or not self.slim:
                trial.reports.setdefault(int(event["report"]), event["metrics"])
                trial.verdict = event.get("stop")
        elif kind == "end":
            self._end(self.trials[event["trial"]], event)
        elif kind == "test":
            tested = self.find(event["trial"])
            assert tested is not None  # `fold` has checked it
            tested.test = dict(event["metrics"])
        if kind in ("start", "report", "end"):
            self.trials[event["trial"]].last = self.seconds

    def find(self, name: str) -> TrialRecord | None:
        """The trial or the point of this name; None where there is none."""
        trial = self.trials.get(trial_of(name))
        if trial is None or trial.trial == name:
            return trial
        return next((point for point in trial.points if point.trial == name), None)

    def _start(self, event: Mapping[str, Any]) -> None:
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
            known.began = self.seconds
            self.running[known.trial] = known
            self.states[known.state] += 1
            self.kinds[known.kind] += not known.repeat
        known.attempts = max(known.attempts, int(event["attempt"]))

    def _end(self, trial: TrialRecord, event: Mapping[str, Any]) -> None:
        if trial.state != "running":
            return
        self.states[trial.state] -= 1
        trial.state, trial.selected = event["state"], event.get("selected")
        trial.measured = dict(event.get("measured") or {})
        reason = event.get("reason")
        trial.reason = None if reason is None else printable(reason)
        trial.points = [
            TrialRecord(
                point_name(trial.trial, index),
                trial.kind,
                trial.control,
                point_config(trial.config, point),
                trial.params,
                {},
                trial.attempts,
                trial.state,
                selected=1,
                reports={1: point["metrics"]},
                point={key: value for key, value in point.items() if key != "metrics"},
            )
            for index, point in enumerate(event.get("points") or ())
        ]
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


def order(trial: TrialRecord) -> tuple[bool, float, str]:
    """The key that sorts search trials by number, then controls by name (see `trial_order`)."""
    return trial_order(trial.trial, trial.kind == "control")
