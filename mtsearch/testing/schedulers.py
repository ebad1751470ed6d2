"""Conformance suite for schedulers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from mtsearch.config.schema import Constraint, Objective

OBJECTIVES = (
    Objective(metric="val/image/error", goal="min"),
    Objective(metric="val/image/accuracy", goal="max"),
)
CONSTRAINTS = (Constraint(metric="model/density", max=0.5),)
LENGTH = 30  # reports of a full training


class Scheduler(Protocol):
    """What the engine calls. `report` mappings have the key `report`, their number from 1, and
    metrics."""

    def add(self, trial: str, report: Mapping[str, Any]) -> bool:
        """Record a report of a trial that is not to be judged, as at a resume. Returns whether
        trials are compared at it."""
        ...

    def judge(self, trial: str, reports: Sequence[Mapping[str, Any]]) -> str | None:
        """Record a trial's next reports. Returns why it should stop; None where it continues."""
        ...


class SchedulerConformance:
    """Tests of a scheduler on random trials. Set `seeds` to repeat them; override `make`.

    Attributes:
        seeds: how many random searches each test plays.
    """

    seeds = 20

    def make(self, objectives: Sequence[Objective], constraints: Sequence[Constraint]) -> Scheduler:
        """A new scheduler for these objectives and constraints."""
        raise NotImplementedError

    def test_same_reports_give_same_decisions(self) -> None:
        for trials in self._searches():
            assert self._play(trials) == self._play(trials)

    def test_names_of_trials_do_not_matter(self) -> None:
        for trials in self._searches():
            renamed = [(f"other-{name}", reports) for name, reports in trials]
            assert [reason for _, reason in self._play(trials)] == [
                reason for _, reason in self._play(renamed)
            ]

    def test_units_of_objectives_do_not_matter(self) -> None:
        """Values times a power of two, so that no rounding breaks a tie."""
        for trials in self._searches():
            scaled = [
                (name, [{**r, "val/image/error": 1024 * r["val/image/error"]} for r in reports])
                for name, reports in trials
            ]
            stopped = [[n for n, reason in self._play(t) if reason] for t in (trials, scaled)]
            assert stopped[0] == stopped[1]

    def test_resumed_scheduler_decides_the_same(self) -> None:
        """`add` rebuilds what `judge` had recorded, at any point of a search."""
        for trials in self._searches():
            plain, half = self.make(OBJECTIVES, CONSTRAINTS), len(trials) // 2
            seen = [self._run(plain, name, reports) for name, reports in trials[:half]]
            rebuilt = self.make(OBJECTIVES, CONSTRAINTS)
            for (name, reports), (last, _) in zip(trials[:half], seen, strict=True):
                for report in reports[:last]:
                    rebuilt.add(name, report)
            for name, reports in trials[half:]:
                assert self._run(plain, name, reports) == self._run(rebuilt, name, reports)

    def test_repeated_reports_are_not_judged_again(self) -> None:
        """A trial that is trained again after an interruption sends its reports again."""
        for trials in self._searches():
            scheduler = self.make(OBJECTIVES, CONSTRAINTS)
            for name, reports in trials:
                last, reason = self._run(scheduler, name, reports)
                known = reports[:last] if reason is None else reports[: last - 1]
                assert scheduler.judge(name, known) is None

    def test_reports_at_once_or_one_by_one_are_equal(self) -> None:
        for trials in self._searches():
            one, all_at_once = (self.make(OBJECTIVES, CONSTRAINTS) for _ in range(2))
            for name, reports in trials:
                _, reason = self._run(one, name, reports)
                assert all_at_once.judge(name, reports) == reason

    def test_best_trial_continues(self) -> None:
        for trials in self._searches():
            scheduler = self.make(OBJECTIVES, CONSTRAINTS)
            for name, reports in trials:
                self._run(scheduler, name, reports)
            best = [_report(n, 0.0, 1000.0, 0.1) for n in range(1, LENGTH)]
            assert scheduler.judge("best", best) is None

    def test_first_trial_continues(self) -> None:
        for trials in self._searches():
            scheduler = self.make(OBJECTIVES, CONSTRAINTS)
            assert scheduler.judge(*trials[0]) is None

    def test_some_bad_trials_are_stopped(self) -> None:
        scheduler = self.make(OBJECTIVES, CONSTRAINTS)
        for i in range(20):
            reason = scheduler.judge(
                str(i), [_report(n, 10.0 + i, 90.0 - i, 0.1) for n in range(1, LENGTH)]
            )
        assert isinstance(reason, str) and reason

    def test_broken_constraint_is_worse_than_any_objective(self) -> None:
        scheduler = self.make(OBJECTIVES, CONSTRAINTS)
        for i in range(20):
            scheduler.judge(str(i), [_report(n, 10.0 + i, 90.0 - i, 0.1) for n in range(1, LENGTH)])
        assert scheduler.judge("x", [_report(n, 1.0, 99.0, 0.9) for n in range(1, LENGTH)])

    def test_report_without_an_objective_stops_nothing(self) -> None:
        for trials in self._searches():
            scheduler = self.make(OBJECTIVES, CONSTRAINTS)
            for name, reports in trials:
                self._run(scheduler, name, reports)
            partial = [{"report": n, "val/image/error": 99.0} for n in range(1, LENGTH)]
            assert scheduler.judge("partial", partial) is None

    # ------------------------------------------------------------ random searches

    def _searches(self) -> Iterator[list[tuple[str, list[dict[str, Any]]]]]:
        for seed in range(self.seeds):
            draw = np.random.default_rng(seed)
            yield [(str(i), _curve(draw)) for i in range(int(draw.integers(2, 25)))]

    def _play(
        self, trials: Sequence[tuple[str, list[dict[str, Any]]]]
    ) -> list[tuple[str, str | None]]:
        scheduler = self.make(OBJECTIVES, CONSTRAINTS)
        return [(name, self._run(scheduler, name, reports)[1]) for name, reports in trials]

    def _run(
        self, scheduler: Scheduler, name: str, reports: Sequence[Mapping[str, Any]]
    ) -> tuple[int, str | None]:
        """Train a trial; returns how many reports it sent, and why it was stopped."""
        for count, report in enumerate(reports, start=1):
            reason = scheduler.judge(name, [report])
            if reason is not None:
                return count, reason
        return len(reports), None


def _report(number: int, error: float, accuracy: float, density: float) -> dict[str, Any]:
    return {
        "report": number,
        "val/image/error": error,
        "val/image/accuracy": accuracy,
        "model/density": density,
    }


def _curve(draw: np.random.Generator) -> list[dict[str, Any]]:
    """A trial's reports: values of few levels, so that ties occur, that improve with noise."""
    level, density = draw.integers(0, 20, size=2), float(draw.choice([0.2, 0.4, 0.6]))
    return [
        _report(
            n,
            float(level[0] + 30 // n + draw.integers(0, 2)),
            float(80 - level[1] - 30 // n - draw.integers(0, 2)),
            density,
        )
        for n in range(1, LENGTH)
    ]
