"""The front while a search runs: what a finished trial adds, and which trials it pushes off."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto.columns import Kinds
from mtsearch.pareto.constraints import feasible
from mtsearch.pareto.front import non_dominated, values
from mtsearch.pareto.indicators import Reference, hypervolume, reference_point

SETTLED = 5  # trials after which a reference that is the worst seen stands


class LiveFront:
    """The non-dominated trials so far, by key, and their hypervolume. A trial costs what the
    front's size costs, not the search's.

    An objective without a worst value of its own (see `reference_point`) takes the worst of the
    first five trials that count, and a tenth of their range beyond it; from then on the reference
    stands, so that the hypervolume never falls. Until then it is NaN. The reports of a finished run
    use the worst of all trials instead, for every point of their history (`hypervolume_series`).
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint] = (),
        kinds: Kinds | None = None,
    ) -> None:
        self.objectives, self.constraints, self.kinds = tuple(objectives), tuple(constraints), kinds
        self.goals = [o.goal for o in objectives]
        self.keys: list[str] = []
        self.points = np.empty((0, len(self.goals)))
        self._first: list[np.ndarray] | None = []
        self._reference = reference_point(self.objectives, (), kinds)
        if "worst seen" not in self._reference.origins:
            self._first = None

    def add(self, key: str, metrics: Mapping[str, Any]) -> list[str]:
        """Take a finished trial's metrics; returns the keys that are not, or no longer, on the
        front by it.

        A trial that breaks a constraint, or whose objectives are not all finite, is none of the
        front's.
        """
        row = [dict(metrics)]
        point = values(row, self.objectives)
        if not np.isfinite(point).all() or not feasible(row, self.constraints).all():
            return [key]
        self._settle(point[0])
        together, keys = np.vstack([self.points, point]), [*self.keys, key]
        stays = non_dominated(together, self.goals)
        self.points = together[stays]
        self.keys = [k for k, yes in zip(keys, stays, strict=True) if yes]
        return [k for k, yes in zip(keys, stays, strict=True) if not yes]

    def _settle(self, point: np.ndarray) -> None:
        if self._first is None:
            return
        self._first.append(point)
        if len(self._first) == SETTLED:
            self._reference = reference_point(self.objectives, self._first, self.kinds)
            self._first = None

    @property
    def reference(self) -> Reference | None:
        """The reference point, None while it does not stand yet."""
        return self._reference if self._first is None else None

    @property
    def hypervolume(self) -> float:
        """Of the front, in the product of the objectives' units; NaN while it is empty or its
        reference does not stand."""
        if self.reference is None or not self.keys:
            return math.nan
        return hypervolume(self.points, self.goals, self.reference.values)
