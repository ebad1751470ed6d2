"""The driver's book: what is to be done next, what came back, and what may be thrown away. Every entry is an event on disk first."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.pareto import HypervolumeHistory, front_rows
from mtsearch.tuning.record import TrialRecord
from mtsearch.tuning.rundir import RunDirectory
from mtsearch.tuning.study import Study, constraint_values, objective_values


class Ledger:
    """Holds a run for its one driver. `data` is where the driver found the data, with nothing left to resolve."""

    def __init__(self, run: RunDirectory, space: Space, data: DataConfig) -> None:
        self.run, self.space, self.data = run, space, data
        self.record = run.record()
        self.study = Study(run, space, self.record)
        self.before = self.record.seconds  # seconds of earlier drivers
        self.since = time.time()
        self._waiting = [t for t in self.record.sorted() if t.state == "running"]
        self._tests: list[TrialRecord] | None = None
        self._controls = [name for name in space.controls if name not in self.record.trials]
        self._volume = HypervolumeHistory(space.config.objectives, run.environment.get("tasks"))
        for trial in self.record.sorted():
            self._measure(trial)
        run.sweep_strays()
        self.sweep()

    # ------------------------------------------------------------ what is next

    @property
    def elapsed(self) -> float:
        """Seconds that drivers have worked on this run."""
        return self.before + time.time() - self.since

    @property
    def exhausted(self) -> bool:
        """Whether `search.budget` is used up, so that no trial starts any more."""
        budget = self.space.config.search.budget
        return budget is not None and self.elapsed >= budget

    @property
    def total(self) -> int:
        """Trials and controls that there are to be."""
        return max(self.study.size, len(self.search)) + len(self.space.controls)

    @property
    def search(self) -> list[TrialRecord]:
        """The search trials so far."""
        return [trial for trial in self.record.sorted() if trial.kind == "search"]

    @property
    def pending(self) -> bool:
        """Whether any trial is left to run."""
        return bool(self._waiting) or (not self.exhausted and (bool(self._controls) or len(self.search) < self.study.size))

    def next_trial(self) -> TrialRecord | None:
        """The next trial to run, its start written down: the unfinished, then the controls, then proposals; None at the end."""
        if self._waiting:
            trial = self._waiting.pop(0)
        elif self.exhausted:
            return None
        elif self._controls:
            name = self._controls.pop(0)
            trial = TrialRecord(name, "control", name, self.space.controls[name], {}, {})
        elif len(self.search) < self.study.size:
            trial = self.study.ask()
        else:
            return None
        return self.start(trial)

    @property
    def unsettled(self) -> bool:
        """Whether trials are running, so that the front may change."""
        return any(trial.state == "running" for trial in self.record.trials.values())

    def next_test(self) -> TrialRecord | None:
        """The next trial whose selected model is to be tested, once no trial is running any more; each is given out once."""
        if self._tests is None:
            self._tests = self.to_test()
        return self._tests.pop(0) if self._tests else None

    # ------------------------------------------------------------ what came back

    def start(self, trial: TrialRecord) -> TrialRecord:
        """Write down that a trial starts, or starts again after its process died."""
        self._write(
            "start",
            trial=trial.trial,
            kind=trial.kind,
            control=trial.control,
            config=trial.config,
            params=trial.params,
            study=trial.study,
            attempt=trial.attempts + 1,
        )
        return self.record.trials[trial.trial]

    def reports(self, name: str, reports: Sequence[dict[str, Any]]) -> None:
        """Write down the reports that are new; those of a number known already are dropped."""
        for report in reports:
            if report["report"] not in self.record.trials[name].reports:
                self._write("report", trial=name, report=report["report"], metrics=report)

    def done(self, name: str, selected: int) -> None:
        """A trial came to its end. Without finite objectives it counts as failed."""
        trial = self.record.trials[name]
        metrics = trial.reports[selected]
        wrong = [
            f"`{o.metric}` is {metrics.get(o.metric, 'missing')}"
            for o in self.space.config.objectives
            if objective_values((o,), metrics) is None
        ]
        if wrong:
            self.failed(name, f"{wrong[0]} in its selected report")
        else:
            self._end(name, state="done", selected=selected)

    def failed(self, name: str, reason: str) -> None:
        """A trial ended without a result."""
        self._end(name, state="failed", reason=" ".join(reason.split()))

    def tested(self, name: str, metrics: dict[str, Any]) -> None:
        """The test metrics of a trial's selected model."""
        self._write("test", trial=name, metrics=metrics)

    def _end(self, name: str, **fields: Any) -> None:
        self._write("end", trial=name, **fields)
        trial = self.record.trials[name]
        self.study.tell(trial)
        self._measure(trial)
        self.sweep()

    def _write(self, event: str, **fields: Any) -> None:
        self.record.add(self.run.log.append(event, **fields))

    # ------------------------------------------------------------ the front

    @property
    def hypervolume(self) -> float:
        """Of the finished trials that keep the constraints."""
        return self._volume.values[-1] if self._volume.values else math.nan

    def front(self) -> list[TrialRecord]:
        """The non-dominated trials."""
        config = self.space.config
        rows = [{"trial": t.trial, "kind": t.kind, "state": t.state, **t.result} for t in self.search if t.state == "done"]
        return [self.record.trials[row["trial"]] for row in front_rows(rows, config.objectives, config.constraints)]

    def to_test(self) -> list[TrialRecord]:
        """The front and the controls, as far as they have no test metrics yet."""
        controls = [t for t in self.record.sorted() if t.kind == "control" and t.state == "done"]
        return [trial for trial in [*self.front(), *controls] if not trial.test]

    def sweep(self) -> None:
        """Delete the checkpoints of failed and dominated trials: only unfinished ones, the front and the controls keep theirs."""
        keep = {t.trial for t in self.front()}
        keep |= {t.trial for t in self.record.trials.values() if t.state == "running" or (t.kind == "control" and t.state == "done")}
        for trial in self.record.trials.values():
            if trial.trial not in keep:
                self.run.drop_checkpoint(trial.trial)

    def _measure(self, trial: TrialRecord) -> None:
        config = self.space.config
        if trial.kind == "search" and trial.state == "done":
            values = objective_values(config.objectives, trial.result)
            excess = constraint_values(config.constraints, trial.result).values()
            if values is not None and all(v is not None and v <= 0 for v in excess):
                self._volume.add(values)
