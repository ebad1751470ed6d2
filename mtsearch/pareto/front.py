"""The front of a search, for the running search, its final tables and the choice of a trial."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto.columns import Kinds, Row
from mtsearch.pareto.constraints import Mask, feasible
from mtsearch.pareto.dominance import non_dominated, objective_values
from mtsearch.pareto.picking import knee
from mtsearch.pareto.reference import Reference, reference_point
from mtsearch.pareto.volume import Hypervolume, measure_hypervolume

Key = TypeVar("Key", bound=Hashable)


class Front(Generic[Key]):
    """The non-dominated points of a search by key, with reference point, hypervolume and knee.

    Points can be added one by one or all at once; the result depends on the set of points only.
    Adding a point costs what the front's size costs, not the search's.

    Attributes:
        objectives: k of them, which span the front.
        constraints: points that break one are not on the front.
        kinds: the kind of each task, which says whether its `error` is a percentage.
        keys: of the points on the front, in the order in which they were added.
        points: their objectives, shape (n, k).
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint] = (),
        kinds: Kinds | None = None,
    ) -> None:
        self.objectives, self.constraints, self.kinds = tuple(objectives), tuple(constraints), kinds
        self.keys: list[Key] = []
        self.points = np.empty((0, len(self.objectives)))
        # the smallest and the largest value of each objective among all points, dominated ones too
        self._range = np.empty((0, len(self.objectives)))
        self._hypervolume: Hypervolume | None = None

    @property
    def goals(self) -> list[str]:
        """`min` or `max` per objective."""
        return [o.goal for o in self.objectives]

    def add(self, key: Key, metrics: Mapping[str, Any]) -> list[Key]:
        """Add the metrics of a finished trial; see `extend`."""
        return self.extend([key], [metrics])

    def extend(self, keys: Sequence[Key], rows: Sequence[Mapping[str, Any]]) -> list[Key]:
        """Add finished trials by their metrics; returns the keys that are not, or no longer, on the
        front.

        A trial that breaks a constraint, or whose objectives are not all finite, does not count.
        """
        values = objective_values(rows, self.objectives)
        counted = self.eligible(rows)
        out = [key for key, counts in zip(keys, counted, strict=True) if not counts]
        if not counted.any():
            return out
        together = np.vstack([self.points, values[counted]])
        known = [*self.keys, *(key for key, counts in zip(keys, counted, strict=True) if counts)]
        seen = np.vstack([self._range, values[counted]])
        self._range = np.stack([seen.min(axis=0), seen.max(axis=0)])
        stays = non_dominated(together, self.goals)
        self.points = together[stays]
        self.keys = [key for key, stay in zip(known, stays, strict=True) if stay]
        self._hypervolume = None
        return out + [key for key, stay in zip(known, stays, strict=True) if not stay]

    def eligible(self, rows: Sequence[Mapping[str, Any]]) -> Mask:
        """Which rows could be on the front, as a mask (n,): every objective is finite and every
        constraint holds."""
        finite = np.isfinite(objective_values(rows, self.objectives)).all(axis=1)
        return np.asarray(finite & feasible(rows, self.constraints))

    @property
    def reference(self) -> Reference:
        """The reference point of the hypervolume, see `reference_point`. "Worst seen" are all
        points added, dominated ones too."""
        return reference_point(self.objectives, self._range, self.kinds)

    @property
    def hypervolume(self) -> float:
        """In the product of the objectives' units; NaN while the front is empty."""
        return self._measured.value

    @property
    def hypervolume_error(self) -> float:
        """The standard error of `hypervolume` where that is an estimate, 0 where it is exact."""
        return self._measured.error

    @property
    def knee(self) -> Key | None:
        """The key of the knee, None where the front has fewer than three different points."""
        index = knee(self.points, self.goals)
        return None if index is None else self.keys[index]

    @property
    def _measured(self) -> Hypervolume:
        if not self.keys:
            return Hypervolume(math.nan)
        if self._hypervolume is None:
            self._hypervolume = measure_hypervolume(self.points, self.goals, self.reference.values)
        return self._hypervolume


def front_of(
    rows: Sequence[Row],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint] = (),
    kinds: Kinds | None = None,
) -> Front[int]:
    """The front of a table: of its search trials (no controls) that are done, and of those with
    more seeds where some were confirmed (see `merge_seeds`). The keys are the rows' indices."""
    done = [
        index
        for index, row in enumerate(rows)
        if row.get("state") == "done"
        and row.get("kind", "search") == "search"
        and row.get("confirmed") is not False
    ]
    front: Front[int] = Front(objectives, constraints, kinds)
    front.extend(done, [rows[index] for index in done])
    return front


def front_rows(
    rows: Sequence[Row], objectives: Sequence[Objective], constraints: Sequence[Constraint] = ()
) -> list[Row]:
    """The rows on the front (see `front_of`), in the order given."""
    return [rows[index] for index in front_of(rows, objectives, constraints).keys]
