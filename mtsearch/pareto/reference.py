"""The reference point of a hypervolume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mtsearch.config.schema import Objective
from mtsearch.pareto.columns import Kinds, metric_info
from mtsearch.pareto.constraints import Floats

_SIZES = ("density", "nonzero", "params", "trainable", "macs")
_IDEALS = {f"model/{name}": 0.0 for name in _SIZES}
"""The ideals of sizes: 0, so that a hypervolume over them is a share of the box too."""


@dataclass(frozen=True)
class Reference:
    """The reference point of a hypervolume.

    `values` has one number per objective; `origins` says where each comes from: ``objective`` (set
    in the space), ``metric`` (the metric's own worst value) or ``worst seen`` (no worst value
    exists: the worst of the points and a tenth of their range beyond it, so that extreme points
    count; Ishibuchi et al. 2018). `ideals` contains the best possible values, None where a metric
    has none.
    """

    values: tuple[float, ...]
    origins: tuple[str, ...]
    ideals: tuple[float | None, ...]

    @property
    def box(self) -> float | None:
        """The volume between the reference and the ideal point, which a normalised hypervolume
        divides by; None where an ideal is missing.
        """
        sides = [abs(r - i) for r, i in zip(self.values, self.ideals, strict=True) if i is not None]
        return math.prod(sides) if len(sides) == len(self.values) and all(sides) else None


def reference_point(
    objectives: Sequence[Objective], points: ArrayLike = (), kinds: Kinds | None = None
) -> Reference:
    """The reference of these objectives, each taken from the first of these that exists:

    1. the objective's `reference` in the space;
    2. the metric's own worst value (error 100 %, density 1, ...);
    3. the worst of the finite values in `points` (n, k), and beyond it a tenth of their range;
       where all are equal, a tenth of that value, or 0.1 where it is 0. NaN without a finite value.

    Rule 3 depends on the set of points only, not on their order: a running search and its final
    tables give the same reference for the same trials.
    """
    array = np.asarray(points, dtype=np.float64).reshape(-1, len(objectives))
    chosen: list[float] = []
    origins: list[str] = []
    ideals: list[float | None] = []
    for i, objective in enumerate(objectives):
        metric = metric_info(objective.metric, kinds)
        if objective.reference is not None:
            value, origin = objective.reference, "objective"
        elif metric.reference is not None and metric.goal == objective.goal:
            value, origin = metric.reference, "metric"
        else:
            value, origin = _worst_seen(array[:, i], objective.goal), "worst seen"
        chosen.append(float(value))
        origins.append(origin)
        ideals.append(_ideal(objective, metric.unit))
    return Reference(tuple(chosen), tuple(origins), tuple(ideals))


def _worst_seen(column: Floats, goal: str) -> float:
    column = column[np.isfinite(column)]
    if not len(column):
        return math.nan
    worst, best = (column.max(), column.min()) if goal == "min" else (column.min(), column.max())
    margin = 0.1 * (abs(worst - best) or abs(worst) or 1.0)
    return float(worst + margin if goal == "min" else worst - margin)


def _ideal(objective: Objective, unit: str) -> float | None:
    if unit == "%" and not objective.metric.endswith("delta_m"):
        return 0.0 if objective.goal == "min" else 100.0
    return _IDEALS.get(objective.metric) if objective.goal == "min" else None
