"""The trial manager of a run's driver."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from mtsearch.config.errors import Halt
from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.pareto import Front
from mtsearch.pareto.reference import Reference
from mtsearch.runs.driven import DrivenRun
from mtsearch.runs.state import TrialRecord, order
from mtsearch.runs.status import Listener
from mtsearch.strategy.journal import objective_values
from mtsearch.strategy.moasha import MOASHA
from mtsearch.strategy.study import Study


class TrialManager:
    """Selects the next trial, records results, deletes checkpoints that are no longer needed, and
    selects the trials to test.

    Every change is an event on disk before anything follows from it, so that a new manager on the
    same run continues where this one ended.

    Args:
        run: the run, whose lock the driver holds.
        space: what is searched, with the settings of this driver.
        data: where the driver found the data.
    """

    def __init__(self, run: DrivenRun, space: Space, data: DataConfig) -> None:
        self.run, self.space, self.data = run, space, data
        self.halted: str | None = None  # why the run cannot continue
        self.state = run.read_state(slim=True)
        self.listener: Listener = lambda event, trial, metrics: None
        with self._writing():
            self.study = Study(run, space, self.state)
        self._earlier = self.state.seconds  # of earlier drivers
        self._began = time.monotonic()
        self._tests: list[TrialRecord] | None = None
        self._testing: set[str] = set()
        self._controls = [name for name in space.controls if name not in self.state.trials]
        self._front = Front[str](
            space.config.objectives, space.config.constraints, run.environment.get("tasks")
        )
        for trial in self.state.ended:
            self._add_to_front(trial)
        self.scheduler = self._make_scheduler()
        self._waiting = sorted(self.state.running.values(), key=order)
        self._delete_stale_checkpoints()

    # ------------------------------------------------------------ next trial

    @property
    def elapsed(self) -> float:
        """Seconds that drivers have worked on this run."""
        return self._earlier + time.monotonic() - self._began

    @property
    def budget_spent(self) -> bool:
        """Whether `search.budget` is used up, so that no more trials start."""
        budget = self.space.config.search.budget
        return budget is not None and self.elapsed >= budget

    @property
    def total(self) -> int:
        """The number of trials and controls of the whole run."""
        return max(self.study.size, self.proposed) + len(self.space.controls)

    @property
    def proposed(self) -> int:
        """The number of search trials so far."""
        return self.state.kinds["search"]

    @property
    def pending(self) -> bool:
        """Whether any trial is left to run."""
        return bool(self._waiting) or (
            not self.budget_spent and (bool(self._controls) or self.proposed < self.study.size)
        )

    def next_trial(self) -> TrialRecord | None:
        """The next trial to run, its start recorded: unfinished trials, then controls, then
        proposals; None at the end."""
        while self._waiting and self._waiting[0].verdict is not None:
            decided = self._waiting.pop(0)
            self.stopped(decided.trial, str(decided.verdict))
        if self._waiting:
            trial = self._waiting.pop(0)
        elif self.budget_spent:
            return None
        elif self._controls:
            name = self._controls.pop(0)
            trial = TrialRecord(name, "control", name, self.space.controls[name], {}, {})
        elif self.proposed < self.study.size:
            with self._writing():
                trial = self.study.ask()
        else:
            return None
        return self.start(trial)

    @property
    def unfinished(self) -> bool:
        """Whether a resume has something left to do."""
        return self.pending or bool(self.to_test()) or bool(self.state.running)

    @property
    def has_running_trials(self) -> bool:
        """Whether trials run, so that the front may change."""
        return bool(self.state.running)

    @property
    def has_running_tests(self) -> bool:
        """Whether tests run, each of which may have to be repeated."""
        return bool(self._testing)

    def next_test(self) -> TrialRecord | None:
        """The next trial whose selected model is to be tested, None at the end. Call it when no
        trial runs; it returns each trial once."""
        if self._tests is None:
            self._tests = self.to_test()
        if not self._tests:
            return None
        trial = self._tests.pop(0)
        self._testing.add(trial.trial)
        return trial

    def reschedule(self, name: str, purpose: str) -> None:
        """Schedule a trial, or its test, once more: its process died before it began."""
        trial = self.state.trials[name]
        if purpose == "train":
            self._waiting.append(trial)
        else:
            assert self._tests is not None
            self._tests.append(trial)

    # ------------------------------------------------------------ results

    def start(self, trial: TrialRecord) -> TrialRecord:
        """Record that a trial starts, or starts again after its process died."""
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
        self.listener("trial", self.state.trials[trial.trial], {})
        return self.state.trials[trial.trial]

    def reports(
        self, name: str, reports: Sequence[dict[str, Any]], stop: str | None = None
    ) -> None:
        """Record new reports; those with a known number are dropped. `stop` is why the trial ends
        with the last one."""
        for report in reports:
            trial = self.state.trials[name]
            if trial.state == "running" and report["report"] not in trial.reports:
                verdict = {"stop": stop} if stop is not None and report is reports[-1] else {}
                self._write(
                    "report", trial=name, report=report["report"], metrics=report, **verdict
                )
                self.listener("report", trial, report)
                if self.scheduler is not None and trial.kind == "search":
                    self.scheduler.add(name, report)

    def done(self, name: str, selected: int) -> None:
        """Record that a trial ended. Without finite objectives it counts as failed."""
        trial = self.state.trials[name]
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
        """Record that a trial ended without a result."""
        self._end(name, state="failed", reason=" ".join(reason.split()))

    def stopped(self, name: str, reason: str) -> None:
        """Record that the scheduler stopped a trial before its end."""
        self._end(name, state="stopped", reason=reason)

    def note(self, name: str, text: str) -> None:
        """Record a remark about a trial."""
        self._write("note", trial=name, note=text)

    def tested(self, name: str, metrics: dict[str, Any] | None) -> None:
        """Record the test metrics of a trial's selected model; None where the test failed, which a
        resume repeats."""
        self._testing.discard(name)
        if metrics is not None and not self.state.trials[name].test:
            self._write("test", trial=name, metrics=metrics)
            self.listener("tested", self.state.trials[name], metrics)

    def _end(self, name: str, **fields: Any) -> None:
        trial = self.state.trials[name]
        if trial.state != "running":
            return
        self._write("end", trial=name, **fields)
        with self._writing():
            self.study.tell(trial)
        for gone in self._add_to_front(trial):
            self.run.delete_checkpoint(gone)
        self.listener("ended", trial, trial.result)

    def halt(self, reason: str) -> NoReturn:
        """End the run for this reason; a resume continues it. Raises Halt with the reason, which
        stays in `halted`."""
        self.halted = reason
        raise Halt(reason)

    def _write(self, event: str, **fields: Any) -> None:
        with self._writing():
            entry = self.run.log.append(event, **fields)
        self.state.apply(entry)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except Halt as error:
            self.halt(str(error))
        except OSError as error:  # of the study's journal
            self.halt(f"{self.run.path} cannot be written ({error.strerror or error}).")

    # ------------------------------------------------------------ tests

    @property
    def hypervolume(self) -> float:
        """Hypervolume of the finished trials that keep the constraints, NaN while there is none
        (see `Front`)."""
        return self._front.hypervolume

    @property
    def reference(self) -> Reference:
        """The reference point of the hypervolume, and the box that it is a share of."""
        return self._front.reference

    @property
    def front_size(self) -> int:
        """The number of non-dominated trials."""
        return len(self._front.keys)

    def front(self) -> list[TrialRecord]:
        """The non-dominated trials, by number."""
        return sorted((self.state.trials[name] for name in self._front.keys), key=order)

    def to_test(self) -> list[TrialRecord]:
        """The trials of the front and the controls that have no test metrics yet."""
        return [trial for trial in [*self.front(), *self._controls_done()] if not trial.test]

    def _controls_done(self) -> list[TrialRecord]:
        found = [
            self.state.trials[name]
            for name in sorted(self.space.controls)
            if name in self.state.trials
        ]
        return [trial for trial in found if trial.kind == "control" and trial.state == "done"]

    # ------------------------------------------------------------ checkpoints

    def _add_to_front(self, trial: TrialRecord) -> list[str]:
        """Add a trial that ended. Returns the trials whose checkpoints are not needed any more:
        failed and dominated ones."""
        if trial.state != "done":
            return [trial.trial]
        return self._front.add(trial.trial, trial.result) if trial.kind == "search" else []

    def _delete_stale_checkpoints(self) -> None:
        """Delete the checkpoints that an earlier driver has left."""
        keep = {*self._front.keys, *self.state.running, *(t.trial for t in self._controls_done())}
        self.run.prune_checkpoints(keep, self.state.trials)

    # ------------------------------------------------------------ the scheduler

    def _make_scheduler(self) -> MOASHA | None:
        """The search's scheduler, with the reports of all trials so far; None where no trial is
        stopped early."""
        search, config = self.space.config.search, self.space.config
        if search.scheduler.name == "none":
            return None
        scheduler = MOASHA(
            search.scheduler.grace,
            search.scheduler.reduction,
            config.objectives,
            config.constraints,
        )
        for event in self.run.events():
            if event["event"] == "report" and self.state.trials[event["trial"]].kind == "search":
                scheduler.add(event["trial"], event["metrics"])
        return scheduler
