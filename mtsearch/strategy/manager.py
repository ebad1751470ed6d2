"""The driver's book: what is to be done next, what came back, and what may be thrown away. Every
entry is an event on disk first."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from mtsearch.config.errors import Halt
from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.pareto import LiveFront
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.state import TrialRecord, order
from mtsearch.runs.status import Listener
from mtsearch.strategy.moasha import MOASHA
from mtsearch.strategy.study import Study, objective_values


class TrialManager:
    """Holds a run for its one driver. `data` is where the driver found the data, with nothing left
    to resolve."""

    def __init__(self, run: RunDirectory, space: Space, data: DataConfig) -> None:
        self.run, self.space, self.data = run, space, data
        self.halted: str | None = None  # why the run cannot go on
        self.state = run.state(slim=True)
        self.listener: Listener = lambda event, trial, metrics: None
        with self._writing():
            self.study = Study(run, space, self.state)
        self.before = self.state.seconds  # seconds of earlier drivers
        self.since = time.monotonic()
        self._tests: list[TrialRecord] | None = None
        self._testing: set[str] = set()
        self._controls = [name for name in space.controls if name not in self.state.trials]
        self._front = LiveFront(
            space.config.objectives, space.config.constraints, run.environment.get("tasks")
        )
        run.remove_partial_checkpoints()
        for trial in self.state.ended:
            self._place(trial)
        self.scheduler = self._scheduler()
        self._waiting = sorted(self.state.running.values(), key=order)
        self._sweep()

    # ------------------------------------------------------------ what is next

    @property
    def elapsed(self) -> float:
        """Seconds that drivers have worked on this run."""
        return self.before + time.monotonic() - self.since

    @property
    def exhausted(self) -> bool:
        """Whether `search.budget` is used up, so that no trial starts any more."""
        budget = self.space.config.search.budget
        return budget is not None and self.elapsed >= budget

    @property
    def total(self) -> int:
        """Trials and controls that there are to be."""
        return max(self.study.size, self.proposed) + len(self.space.controls)

    @property
    def proposed(self) -> int:
        """How many search trials there are so far."""
        return self.state.kinds["search"]

    @property
    def pending(self) -> bool:
        """Whether any trial is left to run."""
        return bool(self._waiting) or (
            not self.exhausted and (bool(self._controls) or self.proposed < self.study.size)
        )

    def next_trial(self) -> TrialRecord | None:
        """The next trial to run, its start written down: the unfinished, then the controls, then
        proposals; None at the end."""
        while self._waiting and self._waiting[0].verdict is not None:
            decided = self._waiting.pop(0)
            self.stopped(decided.trial, str(decided.verdict))
        if self._waiting:
            trial = self._waiting.pop(0)
        elif self.exhausted:
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
        """The next trial whose selected model is to be tested, once no trial is running any more;
        each is given out once."""
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
        self.listener("trial", self.state.trials[trial.trial], {})
        return self.state.trials[trial.trial]

    def reports(
        self, name: str, reports: Sequence[dict[str, Any]], stop: str | None = None
    ) -> None:
        """Write down the reports that are new; those of a number known already are dropped. `stop`:
        why the trial ends with the last."""
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
        """A trial came to its end. Without finite objectives it counts as failed."""
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
        """A trial ended without a result."""
        self._end(name, state="failed", reason=" ".join(reason.split()))

    def stopped(self, name: str, reason: str) -> None:
        """A trial was stopped before its end, because others are better."""
        self._end(name, state="stopped", reason=reason)

    def note(self, name: str, text: str) -> None:
        """Something that should be known of a trial."""
        self._write("note", trial=name, note=text)

    def tested(self, name: str, metrics: dict[str, Any] | None) -> None:
        """The test metrics of a trial's selected model; None where the test failed, which a resume
        repeats."""
        self._testing.discard(name)
        if metrics is not None:
            self._write("test", trial=name, metrics=metrics)
            self.listener("tested", self.state.trials[name], metrics)

    def _end(self, name: str, **fields: Any) -> None:
        self._write("end", trial=name, **fields)
        trial = self.state.trials[name]
        with self._writing():
            self.study.tell(trial)
        for gone in self._place(trial):
            self.run.drop_checkpoint(gone)
        self.listener("ended", trial, trial.result)

    def halt(self, reason: str) -> NoReturn:
        """The run cannot go on, for this reason: what is unfinished stays so, until a resume.
        Raises Halt, whose text it keeps."""
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

    # ------------------------------------------------------------ the front

    @property
    def hypervolume(self) -> float:
        """Of the finished trials that keep the constraints; NaN while there is none, see
        `LiveFront`."""
        return self._front.hypervolume

    @property
    def front_size(self) -> int:
        """How many trials are non-dominated."""
        return len(self._front.keys)

    def front(self) -> list[TrialRecord]:
        """The non-dominated trials, by number."""
        return sorted((self.state.trials[name] for name in self._front.keys), key=order)

    def to_test(self) -> list[TrialRecord]:
        """The front and the controls, as far as they have no test metrics yet."""
        return [trial for trial in [*self.front(), *self._controls_done()] if not trial.test]

    def _scheduler(self) -> MOASHA | None:
        """The search's successive halving, knowing what all trials so far have reported; None where
        nothing is stopped early."""
        search, config = self.space.config.search, self.space.config
        if search.scheduler.name == "none":
            return None
        halving = MOASHA(
            search.scheduler.grace,
            search.scheduler.reduction,
            config.objectives,
            config.constraints,
        )
        for event in self.run.events():
            if event["event"] == "report" and self.state.trials[event["trial"]].kind == "search":
                halving.add(event["trial"], event["metrics"])
        return halving

    def _place(self, trial: TrialRecord) -> list[str]:
        """Take in a trial that ended; returns those that nobody will continue, test or export any
        more: failed and dominated ones."""
        if trial.state != "done":
            return [trial.trial]
        return self._front.add(trial.trial, trial.result) if trial.kind == "search" else []

    def _sweep(self) -> None:
        """Delete the checkpoints that an earlier driver had no time to delete."""
        keep = {*self._front.keys, *self.state.running, *(t.trial for t in self._controls_done())}
        for name in self.run.kept_checkpoints():
            if name not in keep:
                self.run.drop_checkpoint(name)

    def _controls_done(self) -> list[TrialRecord]:
        found = [
            self.state.trials[name]
            for name in sorted(self.space.controls)
            if name in self.state.trials
        ]
        return [trial for trial in found if trial.kind == "control" and trial.state == "done"]
