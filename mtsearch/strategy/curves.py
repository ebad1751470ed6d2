"""What the `curves` sampler reads: every report of every trial, stopped ones too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto import best_first, constraint_excess
from mtsearch.strategy.journal import objective_values

Floats = NDArray[np.float64]
FIRST = 20  # trials that are observed in any case: they are not biased to good values


@dataclass
class Curve:
    """One trial: its parameters by name, and its values by number of the report: the objectives,
    all to be minimised, then by how much it exceeds each constraint. `state` as in a
    `TrialRecord`."""

    params: dict[str, Any]
    reports: dict[int, list[float]] = field(default_factory=dict)
    state: str = "running"
    final: list[float] | None = None  # the values of its result, where it is done


@dataclass(frozen=True)
class Observations:
    """What a model reads: `trials` (n,), the part `left` (n,) of each trial's training (see
    `CurveGP`), and `values` (n, k + m) of k objectives and m constraints. The last observation of
    each trial is at `last`, in the order of `numbers`."""

    trials: NDArray[np.int64]
    left: Floats
    values: Floats
    last: NDArray[np.int64]

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The trials that have an observation."""
        return self.trials[self.last]


class Curves:
    """The trials of a search by number.

    Args:
        objectives, constraints: of the search.
    """

    def __init__(
        self, objectives: Sequence[Objective], constraints: Sequence[Constraint] = ()
    ) -> None:
        self._objectives, self._constraints = tuple(objectives), tuple(constraints)
        self._signs = [-1.0 if o.goal == "max" else 1.0 for o in self._objectives]
        self.trials: dict[int, Curve] = {}

    def start(self, number: int, params: Mapping[str, Any]) -> None:
        """A trial has begun."""
        self.trials.setdefault(number, Curve(dict(params)))

    def report(self, number: int, metrics: Mapping[str, Any]) -> None:
        """A trial has reported. A report without all values is not kept."""
        values = self._values(metrics)
        if values is not None:
            self.trials[number].reports.setdefault(int(metrics["report"]), values)

    def end(self, number: int, state: str, result: Mapping[str, Any]) -> None:
        """A trial has ended with this state (`done`, `stopped`, `failed`) and result."""
        curve = self.trials[number]
        curve.state = state
        if state == "done":
            curve.final = self._values(result)

    def _values(self, metrics: Mapping[str, Any]) -> list[float] | None:
        found = objective_values(self._objectives, metrics)
        excess: list[float] = constraint_excess([metrics], self._constraints)[0].tolist()
        if found is None or not all(map(math.isfinite, excess)):
            return None
        return [sign * value for sign, value in zip(self._signs, found, strict=True)] + excess

    def _chosen(self, most: int) -> list[int]:
        """The numbers of at most `most` trials."""
        numbers = sorted(self.trials)
        if len(numbers) <= most:
            return numbers
        first, others = numbers[:FIRST], numbers[FIRST:]
        ended = [n for n in others if self.trials[n].reports or self.trials[n].final]
        values = [[*_final(self.trials[n]), *self._latest(n)][0] for n in ended]
        points = np.array(values)
        k = len(self._objectives)
        order = best_first(points[:, :k], ["min"] * k, np.maximum(points[:, k:], 0).sum(axis=1))
        good = [ended[i] for i in order[: (most - FIRST) // 2]]
        left = sorted(set(others) - set(good))[-(most - FIRST - len(good)) :]
        return sorted([*first, *good, *left])

    def _latest(self, number: int) -> list[list[float]]:
        reports = self.trials[number].reports
        return [reports[max(reports)]] if reports else []

    def observations(self, most: int) -> Observations:
        """At most `most` observations: of each trial its result or last report, and its reports 1,
        3, 9, ... The earliest of the latter are left out first. Where there are more trials,
        `FIRST` are the first ones, half of the others the best ones (`best_first`), and the rest
        the latest ones.

        A failed trial is a result with the worst value that any trial has had.
        """
        length = max((max(c.reports, default=1) for c in self.trials.values()), default=1)
        rows: list[tuple[int, float, list[float], bool]] = []
        every = [v for c in self.trials.values() for v in [*c.reports.values(), *_final(c)]]
        worst = np.max(every, axis=0).tolist() if every else None
        for number in self._chosen(most):
            curve = self.trials[number]
            last = max(curve.reports, default=0)
            kept = [r for r in _rungs(last) if r in curve.reports]
            ended = _final(curve)
            if curve.state == "failed" and worst is not None:
                ended = [worst]
            elif last and not ended:
                kept.append(last)
            rows += [
                (number, _left(r, length), curve.reports[r], r == last and not ended) for r in kept
            ]
            rows += [(number, 0.0, values, True) for values in ended]
        surplus = max(len(rows) - most, 0)
        out = {i for i in [i for i, row in enumerate(rows) if not row[3]][:surplus]}
        rows = [row for i, row in enumerate(rows) if i not in out]
        width = len(self._objectives) + len(self._constraints)
        return Observations(
            np.array([row[0] for row in rows], dtype=np.int64),
            np.array([row[1] for row in rows], dtype=np.float64),
            np.array([row[2] for row in rows], dtype=np.float64).reshape(-1, width),
            np.flatnonzero([row[3] for row in rows]),
        )


def _final(curve: Curve) -> list[list[float]]:
    return [] if curve.final is None else [curve.final]


def _rungs(last: int) -> list[int]:
    """1, 3, 9, ... below the last report."""
    found, report = [], 1
    while report < last:
        found.append(report)
        report *= 3
    return found


def _left(report: int, length: int) -> float:
    """The part of the training that is left, logarithmic: 1 at the first report, 0 at the last."""
    return max(1 - math.log(report) / math.log(length), 0.0) if length > 1 else 0.0
