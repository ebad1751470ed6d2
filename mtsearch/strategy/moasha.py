"""Multi-objective asynchronous successive halving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto import best_first


class MOASHA:
    """Stops a trial at a rung where too many trials are better (Schmucker et al. 2021,
    "Multi-objective Asynchronous Successive Halving").

    The rungs are the reports of number g, g*r, g*r^2, ... A trial that reaches one is put in order
    with all trials that were there before it, by the objectives of that report (`best_first`:
    layers of non-dominance, spread inside a layer), and goes on if it is among the first floor(n /
    r) of the n. The first r - 1 at a rung always go on, nobody waits for anybody, and a trial is
    never taken up again.

    Args:
        grace: the report g of the first rung.
        reduction: the factor r between rungs, and how many trials there are to one that goes on.
        objectives, constraints: what the search is over. A report that lacks an objective is no
            rung.
    """

    def __init__(
        self,
        grace: int,
        reduction: int,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint] = (),
    ) -> None:
        self.grace, self.reduction = grace, reduction
        self.objectives, self.constraints = tuple(objectives), tuple(constraints)
        self.rungs: dict[
            int, dict[str, tuple[list[float], float]]
        ] = {}  # by report: each trial's objectives, and its excess

    def is_rung(self, report: int) -> bool:
        """Whether trials are compared at the report of that number."""
        while report > self.grace and report % self.reduction == 0:
            report //= self.reduction
        return report == self.grace

    def add(self, trial: str, report: Mapping[str, Any]) -> bool:
        """Take note of a trial's report; whether it is one at which the trial is compared.

        Each is noted once: a trial that goes on after an interruption tells its earlier reports
        again, and is not held against those that came to its rungs in the meantime.
        """
        number = int(report["report"])
        values = [report.get(o.metric) for o in self.objectives]
        known = trial in self.rungs.get(number, {})
        if known or not self.is_rung(number) or any(value is None for value in values):
            return False
        self.rungs.setdefault(number, {})[trial] = (
            [float(v) for v in values if v is not None],
            self._excess(report),
        )
        return True

    def judge(self, trial: str, reports: Sequence[Mapping[str, Any]]) -> str | None:
        """Take note of a trial's next reports. Returns why it should stop, None while it should go
        on."""
        for report in reports:
            if self.add(trial, report):
                number = int(report["report"])
                place, there = self._place(trial, number), len(self.rungs[number])
                if there >= self.reduction and place > there // self.reduction:
                    return (
                        f"number {place} of {there} trials at report {number}; the first"
                        f" {there // self.reduction} go on"
                    )
        return None

    def _place(self, trial: str, number: int) -> int:
        """The trial's place at a rung, from 1."""
        entries = self.rungs[number]
        values, excess = zip(*entries.values(), strict=True)
        order = best_first(values, [o.goal for o in self.objectives], excess)
        return int(np.flatnonzero(order == list(entries).index(trial))[0]) + 1

    def _excess(self, report: Mapping[str, Any]) -> float:
        total = 0.0
        for c in self.constraints:
            value = report.get(c.metric)
            if value is None:
                return float("inf")
            over = (
                value - c.max if c.max is not None else c.min - value if c.min is not None else 0.0
            )
            total += max(float(over), 0.0) if over == over else float("inf")
        return total
