"""Folding the events of a run into its trials, rows and history."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtsearch.config.base import methods, tag_of
from mtsearch.config.errors import BadInput
from mtsearch.config.plugins import is_file, parsed
from mtsearch.config.schema import TrialConfig
from mtsearch.config.space import Space, leaves
from mtsearch.tuning.events import plain


@dataclass
class TrialRecord:
    """What the events say of one trial. `state` is running (also when its driver is gone), done, failed or stopped."""

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
    verdict: str | None = None  # why it was to stop at its last report; without an end its driver died right then

    @property
    def result(self) -> dict[str, Any]:
        """The selected report, else the last one, at the cost of the whole trial; empty before the first."""
        if not self.reports:
            return {}
        last = self.reports[max(self.reports)]
        spent = {name: value for name, value in last.items() if name.startswith("cost/")}
        return {**self.reports.get(self.selected or max(self.reports), last), **spent}


@dataclass
class Record:
    """All trials of a run by identifier, in the order of their start; `changes` are the settings that resumes changed."""

    trials: dict[str, TrialRecord] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    space: str = ""
    profile: str | None = None
    overrides: tuple[str, ...] = ()
    single: bool = False  # one training by `mtsearch.train`, not a search
    started: float | None = None
    spent: float = 0.0  # seconds that earlier drivers worked
    slim: bool = False  # of trials that ended only the selected report is kept, as a driver's memory must not grow with its reports
    running: dict[str, TrialRecord] = field(default_factory=dict)
    ended: list[TrialRecord] = field(default_factory=list)  # in the order of their ends
    states: Counter[str] = field(default_factory=Counter)  # trials and controls by state
    kinds: Counter[str] = field(default_factory=Counter)  # and by kind
    _driver: tuple[float, float] | None = None

    def add(self, event: Mapping[str, Any]) -> None:
        """Fold one event in. What is already known (a report with a number seen before) changes nothing."""
        kind, now = event["event"], float(event["time"])
        self._clock(kind, float(event.get("clock", now)))  # logs of before there was one have the time of day only
        if kind == "run":
            self.space, self.profile, self.overrides = event["space"], event.get("profile"), tuple(event["overrides"])
            self.single = bool(event.get("single", False))
            self.started = now
        elif kind == "resume":
            self.changes.update(event["changes"])
        elif kind == "start":
            known = self.trials.get(event["trial"])
            if known is None:
                known = self.trials[event["trial"]] = TrialRecord(
                    event["trial"], event["kind"], event.get("control"), event["config"], event["params"], event.get("study", {})
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
        trial.state, trial.reason, trial.selected = event["state"], event.get("reason"), event.get("selected")
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
    """The key that sorts search trials by number, however many digits it has, then controls by name."""
    return trial.kind == "control", len(trial.trial) if trial.kind == "search" else 0, trial.trial


def fold(events: Iterable[Mapping[str, Any]], slim: bool = False) -> Record:
    """The record of a run from its events. Raises BadInput where one tells of what the others do not know."""
    record = Record(slim=slim)
    for number, event in enumerate(events, start=1):
        try:
            record.add(event)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(
                f"event {number} of the run, a `{event.get('event')}`, does not fit those before it ({type(error).__name__}: {error}). "
                "Restore events.jsonl from a copy or remove that line."
            ) from None
    return record


def row_of(trial: TrialRecord, dataset: str, command: str) -> dict[str, Any]:
    """The table row of a trial: identity, state, `trial.*` configuration, the selected report's metrics, test metrics, command."""
    row: dict[str, Any] = {
        "trial": trial.trial,
        "state": trial.state,
        "kind": trial.kind,
        "control": trial.control,
        "reason": trial.reason,
        "attempts": trial.attempts,
        "dataset": dataset,
        "seed": trial.config.get("seed", 0),
    }
    row.update(_settings(trial.config))
    row.update(trial.result)
    row.update(trial.test)
    row["command"] = command
    return row


def fill_defaults(rows: Sequence[dict[str, Any]], trials: Sequence[TrialRecord]) -> None:
    """Give every row the settings that another one names and it leaves at their defaults. What stays empty is a setting that the row's
    configuration does not have."""
    columns = {column: None for row in rows for column in row if column.startswith("trial.")}
    for row, trial in zip(rows, trials, strict=True):
        missing = [column for column in columns if column not in row]
        if not missing:
            continue
        try:
            config = TrialConfig.model_validate(trial.config)
        except ValidationError:  # of another version, which had settings that this one refuses: its defaults are not known here
            continue
        settings = _settings(config.model_dump(mode="json", exclude=_idle(config)))
        row.update({column: settings[column] for column in missing if column in settings})


def _idle(config: TrialConfig) -> set[str]:
    """What has no meaning in a configuration: a population with a budget of steps has no epochs."""
    return {"epochs"} if config.population is not None and config.population.budget is not None else set()


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    tree = {k: {tag_of(k): v} if k in methods() and isinstance(v, str) else v for k, v in config.items()}  # `hps` is short for {name: hps}
    return {path: repr(plain(v)) if isinstance(v, list | tuple | dict) else v for path, v in leaves(tree, "trial")}


def history_of(trial: TrialRecord) -> list[dict[str, Any]]:
    """One row a report, in the order of their numbers."""
    return [{"trial": trial.trial, **trial.reports[number]} for number in sorted(trial.reports)]


def command_of(record: Record, trial: TrialRecord, space: Space) -> str:
    """The line that trains a trial again alone: the space as it was given, with every setting that differs from its defaults."""
    words = ["python -m mtsearch.train", f"space={_quoted(record.space)}"]
    if record.profile:
        words.append(f"profile={_quoted(record.profile)}")
    if trial.control:
        words.append(f"control={_quoted(trial.control)}")
    parts = ("plugins", "data", "trial", *(["controls"] if trial.control else []))  # not search, results and the like
    words += [_quoted(pair) for pair in record.overrides if pair.split("=", 1)[0].split(".")[0] in parts]
    if trial.control:
        return " ".join(words)
    dimensions = {dimension.path for dimension in space.dimensions}
    words += [_quoted(f"{path}={text(value)}") for path, value in _differences(trial.config, space.defaults, "trial", dimensions)]
    return " ".join(words)


def _differences(tree: Mapping[str, Any], base: Mapping[str, Any], prefix: str, whole: set[str]) -> list[tuple[str, Any]]:
    """The settings that turn `base` into `tree`; the dimensions in `whole` and methods with another name are set as a whole."""
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        path, old = f"{prefix}.{key}", base.get(key)
        if value == old:
            continue
        if isinstance(value, Mapping) and isinstance(old, Mapping) and path not in whole and _same_method(value, old):
            found += _differences(value, old, path, whole)
        else:
            found.append((path, value))
    return found


def _same_method(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    return all(new.get(tag) == old.get(tag) for tag in ("name", "mode")) and set(old) <= set(new)


def text(value: Any) -> str:
    """A value as YAML on one line, as `key=value` takes it; numbers keep every digit."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(text(v) for v in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        digits = repr(value)
        return digits if "e" not in digits or "." in digits else digits.replace("e", ".0e")  # YAML 1.1 reads 1e-05 as text
    return str(value) or '""'


def reason_of(error: BaseException) -> str:
    """One line that says why a trial failed: the exception's first sentence, with its type where the text alone says little."""
    text = " ".join(str(error).encode(errors="replace").decode().split())
    if type(error).__name__ in ("Diverged", "BadInput", "Damaged"):
        return text
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__


def placeless(words: Iterable[str]) -> list[str]:
    """Words of a command without the folders of this machine: the data in DATA, files of spaces, cards and plug-ins by their names."""
    found = []
    for word in words:
        key, _, value = word.partition("=")
        if key == "data.root":
            word = "data.root=DATA"
        elif key == "plugins":
            word = f"plugins=[{', '.join(Path(entry).name if is_file(entry) else entry for entry in parsed(value))}]"
        elif key in ("space", "data.dataset"):
            word = f"{key}={Path(value).name}"
        if key != "data.store":
            found.append(word)
    return found


def _quoted(word: str) -> str:
    return shlex.quote(word)
