"""Multi-objective asynchronous successive halving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto import best_first, constraint_excess, total_excess


class MOASHA:
    """Stops a trial at a rung where too many trials are better (Schmucker et al. 2021,
    "Multi-objective Asynchronous Successive Halving").

    The rungs are the reports of number g, g*r, g*r^2, ... A trial that reaches a rung is sorted
    with all trials that reached it before, by the objectives of that report (`best_first`: layers
    of non-dominance, spread inside a layer), and continues if it is among the first floor(n / r) of
    the n. The first r - 1 trials at a rung always continue. No trial waits for another one, and a
    stopped trial is not continued later.

    Args:
        grace: the report g of the first rung.
        reduction: the factor r between rungs; one of r trials continues.
        objectives, constraints: of the search. Trials are not compared at a report
            without all objectives.
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
        # by report and trial: the objectives, and the excess over the constraints
        self.rungs: dict[int, dict[str, tuple[list[float], float]]] = {}

    def is_rung(self, report: int) -> bool:
        """Whether trials are compared at this report."""
        while report > self.grace and report % self.reduction == 0:
            report //= self.reduction
        return report == self.grace

    def add(self, trial: str, report: Mapping[str, Any]) -> bool:
        """Record a trial's report. Returns whether the trial is compared at it.

        Each report is recorded once: a trial that continues after an interruption repeats its
        earlier reports, and is not compared with trials that reached its rungs in the meantime.
        """
        number = int(report["report"])
        values = [report.get(o.metric) for o in self.objectives]
        known = trial in self.rungs.get(number, {})
        if known or not self.is_rung(number) or any(value is None for value in values):
            return False
        self.rungs.setdefault(number, {})[trial] = (
            [float(v) for v in values if v is not None],
            float(total_excess(constraint_excess([report], self.constraints))[0]),
        )
        return True

    def judge(self, trial: str, reports: Sequence[Mapping[str, Any]]) -> str | None:
        """Record a trial's next reports. Returns why it should stop; None where it continues."""
        for report in reports:
            if self.add(trial, report):
                number = int(report["report"])
                place, count = self._place(trial, number), len(self.rungs[number])
                if count >= self.reduction and place > count // self.reduction:
                    return (
                        f"number {place} of {count} trials at report {number}; the first"
                        f" {count // self.reduction} continue"
                    )
        return None

    def _place(self, trial: str, number: int) -> int:
        """The trial's place at a rung, from 1."""
        entries = self.rungs[number]
        values, excess = zip(*entries.values(), strict=True)
        order = best_first(values, [o.goal for o in self.objectives], excess)
        return int(np.flatnonzero(order == list(entries).index(trial))[0]) + 1
