"""Successive halving with rungs from the length of a training, which takes noise into account."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtsearch.config.schema import Constraint, Objective
from mtsearch.strategy.moasha import MOASHA

RUNGS_PER_LENGTH = 16  # the first rung is at 1/16 of the training
_NORMAL_MEDIAN = 0.6745  # the median of |x| for a standard normal x


class ParetoASHA(MOASHA):
    """`MOASHA` with three differences.

    - The first rung is at 1/16 of the training, the factor between rungs is 2, and the last rung is
      at most at half of the training: a trial that has paid for more than half is finished, because
      a stopped trial gives no point of the front.
    - The noise of an objective is estimated from its second differences along the reports, which a
      smooth curve has near zero: their median over all trials so far, as the standard deviation of
      a report. For independent noise they have six times its variance.
    - At a rung a trial is ranked by values that are better by the standard deviation of a
      difference, sqrt(2) times that of a report. A trial that others exceed by less than noise is
      not stopped for them.

    Args:
        length: the number of reports of a full training.
        objectives, constraints: of the search.
    """

    def __init__(
        self, length: int, objectives: Sequence[Objective], constraints: Sequence[Constraint] = ()
    ) -> None:
        super().__init__(max(length // RUNGS_PER_LENGTH, 1), 2, objectives, constraints)
        self._last_rung = length // 2
        self._signs = np.array([-1.0 if o.goal == "max" else 1.0 for o in self.objectives])
        # by trial: the number of its last report and the objectives of its last two
        self._recent: dict[str, tuple[int, list[list[float]]]] = {}
        self._differences: list[list[float]] = []  # second differences, by report of any trial

    def is_rung(self, report: int) -> bool:
        """Whether trials are compared at this report."""
        return report <= self._last_rung and super().is_rung(report)

    def add(self, trial: str, report: Mapping[str, Any]) -> bool:
        """Record a trial's report. Returns whether the trial is compared at it."""
        values = [report.get(o.metric) for o in self.objectives]
        last, recent = self._recent.get(trial, (0, []))
        number = int(report["report"])
        if number > last and all(v is not None and math.isfinite(v) for v in values):
            found = [float(v) for v in values if v is not None]
            recent = recent if number == last + 1 else []
            if len(recent) == 2:
                self._differences.append(
                    [a - 2 * b + c for a, b, c in zip(*recent, found, strict=True)]
                )
            self._recent[trial] = (number, [*recent[-1:], found])
        return super().add(trial, report)

    @property
    def noise(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """(k,) the standard deviation of each objective's reports; 0 without three reports of a
        trial."""
        if not self._differences:
            return np.zeros(len(self.objectives))
        median = np.median(np.abs(self._differences), axis=0)
        return np.asarray(median / (_NORMAL_MEDIAN * math.sqrt(6)))

    def _place(self, trial: str, number: int) -> int:
        """The trial's place at a rung, from 1, with values that are better by the noise of a
        difference."""
        values, excess = self.rungs[number][trial]
        better = np.array(values) - math.sqrt(2) * self._signs * self.noise
        self.rungs[number][trial] = (better.tolist(), excess)
        try:
            return super()._place(trial, number)
        finally:
            self.rungs[number][trial] = (values, excess)
