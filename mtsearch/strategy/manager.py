"""The trial manager of a run's driver."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from mtsearch.config.errors import Halt
from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.pareto import DerivedMetrics, Front, trial_of
from mtsearch.pareto.reference import Reference
from mtsearch.runs.driven import DrivenRun
from mtsearch.runs.state import TrialRecord, order
from mtsearch.runs.status import Listener
from mtsearch.strategy.children import parents, unusable_parent
from mtsearch.strategy.controls import chosen_controls, control_trials, rejected_controls
from mtsearch.strategy.derived import ComparedControl, missing_objective
from mtsearch.strategy.repeats import (
    complete,
    confirmed,
    group,
    missing,
    outcome,
    stoppable,
    unfinished_names,
    with_points,
)
from mtsearch.strategy.scheduling import make_scheduler
from mtsearch.strategy.stop_rules import StopRules
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
        self._control_trials = control_trials(space)
        self._controls = [name for name in self._control_trials if name not in self.state.trials]
        self._seeds, self._confirm = space.config.search.repeats, space.config.search.confirm
        self._derived = DerivedMetrics(space.config, run.environment.get("tasks"))
        self._compared = ComparedControl(self._derived, self._control_trials, self._seeds)
        self._compared.update(self.state)
        self._front = Front[str](
            space.config.objectives, space.config.constraints, run.environment.get("tasks")
        )
        self._repeats = [
            repeat
            for trial in self.state.ended
            if not trial.repeat
            for repeat in missing(self.state, trial.trial, self._seeds)
        ]
        self._confirmations: list[TrialRecord] | None = None  # known once the search has ended
        self.rules = StopRules(run, space.config, self.state)
        for trial in complete(self.state, self._seeds):
            self._add_to_front(trial)
        self.scheduler = make_scheduler(run, space, self.state)
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
    def _left(self) -> int:
        """The number of trials that are still to be proposed."""
        return 0 if self.rules.reason else max(self.study.size - self.proposed, 0)

    @property
    def total(self) -> int:
        """The number of trials and controls of the whole run, as far as it is known: those that
        `search.confirm` adds are known once the search has ended."""
        new = self._left + len(self._controls)
        begun = sum(not trial.repeat for trial in self.state.running.values())
        later = len(self._repeats) + len(self._confirmations or ())
        return len(self.state.trials) + self._seeds * new + (self._seeds - 1) * begun + later

    @property
    def proposed(self) -> int:
        """The number of search trials so far, without repeats."""
        return self.state.kinds["search"]

    @property
    def pending(self) -> bool:
        """Whether any trial is left to run."""
        return bool(self._waiting) or (
            not self.budget_spent
            and bool(self._controls or self._repeats or self._left or self.to_confirm())
        )

    def next_trial(self) -> TrialRecord | None:
        """The next trial to run, its start recorded: unfinished trials, controls, repeats of those
        done, proposals, then what `search.confirm` repeats. None at the end, while running trials
        decide what that is, and while the control of `val/delta_m` runs; Halt where that failed."""
        reason = self.rules.unrecorded(self.budget_spent)
        if reason is not None and self.proposed < self.study.size:
            self._write("stop", reason=reason)
        while self._waiting and (reason := self.rules.verdict(self._waiting[0])) is not None:
            self.stopped(self._waiting.pop(0).trial, reason)
        if self._waiting:
            trial = self._waiting.pop(0)
        elif self.budget_spent:
            return None
        elif self._controls:
            trial = self._control_trials[self._controls.pop(0)]
        elif self._repeats:
            trial = self._repeats.pop(0)
        elif self._derived.waits:
            if (reason := self._compared.failure(self.state)) is not None:
                self.halt(reason)
            return None
        elif self._left:
            if self.study.waits:
                return None
            with self._writing():
                trial = self.study.ask()
            if (reason := unusable_parent(self.space, self.state, trial)) is not None:
                self.failed(self.start(trial).trial, reason)
                return self.next_trial()
        else:
            if self._confirmations is None and not self.state.running:
                self._confirmations = self.to_confirm()
            if not self._confirmations:
                return None
            trial = self._confirmations.pop(0)
        return self.start(trial)

    def to_confirm(self) -> list[TrialRecord]:
        """The repeats of `search.confirm`, of the front and the controls, that have not begun."""
        found = [trial_of(record.trial) for record in (*self.front(), *self._controls_done())]
        return [
            repeat
            for name in dict.fromkeys(found)
            for repeat in missing(self.state, name, self._confirm)
        ]

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
        if purpose == "train":
            self._waiting.append(self.state.trials[name])
        else:
            assert self._tests is not None
            self._tests.append(self._record(name))

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
        for report in self.with_derived(reports):
            trial = self.state.trials[name]
            if trial.state == "running" and report["report"] not in trial.reports:
                last = report["report"] == reports[-1]["report"]
                verdict = {"stop": stop} if stop is not None and last else {}
                self._write(
                    "report", trial=name, report=report["report"], metrics=report, **verdict
                )
                self.listener("report", trial, report)
                self.rules.report(name, report)
                self.study.report(trial, report)
                if self.scheduler is not None and stoppable(trial):
                    self.scheduler.add(name, report)

    def with_derived(self, reports: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Reports of a trial with the metrics that are computed from them."""
        return [{**report, **self._derived.of(report)} for report in reports]

    def done(
        self,
        name: str,
        selected: int,
        points: Sequence[Mapping[str, Any]] = (),
        measured: Mapping[str, float] | None = None,
    ) -> None:
        """Record that a trial ended. Without finite objectives it counts as failed.

        Args:
            name: of the trial.
            selected: number of its selected report.
            points: where it yields several networks, the `preference` and `metrics` of each.
            measured: metrics of its final network that are measured on a clock.
        """
        trial = self.state.trials[name]
        ended = self._derived.end(trial.reports[selected], measured, points)
        metrics = {**trial.reports[selected], **ended.get("measured", {})}
        wrong = missing_objective(self._derived, self.space.config.objectives, trial, metrics)
        if wrong is not None:
            self.failed(name, f"{wrong} in its selected report")
        else:
            self._end(name, state="done", selected=selected, **ended)

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
        if metrics is not None and not self._record(name).test:
            self._write("test", trial=name, metrics=metrics)
            if name in self.state.trials:  # observers know trials, not their points
                self.listener("tested", self.state.trials[name], metrics)

    def _end(self, name: str, **fields: Any) -> None:
        trial = self.state.trials[name]
        if trial.state != "running":
            return
        self._write("end", trial=name, **fields)
        self._compared.update(self.state)
        if not trial.repeat:
            self._repeats += missing(self.state, name, self._seeds)
        elif trial.state != "done":
            self.run.delete_checkpoint(name)
        if trial.repeat < self._seeds:
            whole = outcome(self.state, trial.configuration, self._seeds)
            with self._writing():
                self.study.tell(whole)
            worse = rejected_controls(self.state, self._control_trials, self._seeds, whole)
            for gone in self._add_to_front(whole) + worse:
                self._delete_checkpoints(gone)
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
        """See `Front`: of the finished trials that keep the constraints, NaN without one."""
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
        """The non-dominated trials and points, by number."""
        return sorted(map(self._record, self._front.keys), key=order)

    def _record(self, name: str) -> TrialRecord:
        """The trial or point of this name."""
        found = self.state.find(name)
        assert found is not None
        return found

    def to_test(self) -> list[TrialRecord]:
        """The trials of the front and the controls, with their repeats, that have no test metrics
        yet."""
        return [r for r in self._kept() if r.state == "done" and not (r.test or r.points)]

    def _controls_done(self) -> list[TrialRecord]:
        return chosen_controls(self.state, self._control_trials, self._seeds)

    def _kept(self) -> list[TrialRecord]:
        """What is tested and keeps its checkpoint: the front, what was confirmed, and the controls,
        each with its repeats."""
        names = {*self._front.keys, *confirmed(self.state, self._seeds)}
        found = sorted(map(self._record, names), key=order)
        found += [row for trial in self._controls_done() for row in trial.rows]
        return [member for row in found for member in group(self.state, row.trial)]

    # ------------------------------------------------------------ checkpoints

    def _add_to_front(self, trial: TrialRecord) -> list[str]:
        """Add a trial that ended, or its points (see `outcome`). Returns the trials and points
        whose checkpoints are not needed any more: failed trials, and those without a point on the
        front. All points of a trial keep theirs together, for the means of `search.confirm`."""
        if trial.state == "running":
            return []
        rows = trial.rows if trial.kind == "search" and trial.state == "done" else []
        gone = self._front.extend([r.trial for r in rows], [r.result for r in rows])
        if trial.kind == "search":
            self.rules.ended(self._front)
        if trial.state != "done":
            return [trial.trial]
        left = set(map(trial_of, gone)) - set(map(trial_of, self._front.keys)) - parents(self.space)
        return [name for trial_name in sorted(left) for name in with_points(self.state, trial_name)]

    def _delete_stale_checkpoints(self) -> None:
        """Delete the checkpoints that an earlier driver has left."""
        trials = {trial_of(record.trial) for record in self._kept()}
        trials |= parents(self.space) & set(self.state.trials)
        keep = unfinished_names(self.state, self._seeds)
        keep.update(name for trial in trials for name in with_points(self.state, trial))
        rows = [row.trial for trial in self.state.trials.values() for row in trial.rows]
        self.run.prune_checkpoints(keep, {*self.state.trials, *rows})

    def _delete_checkpoints(self, name: str) -> None:
        """Delete the checkpoints of a trial and its repeats, unless it was confirmed."""
        members = group(self.state, name)
        for member in members if len(members) <= self._seeds else ():
            self.run.delete_checkpoint(member.trial)
