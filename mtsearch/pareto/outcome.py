"""What a search came to: its rows in order, the front, the knee and the hypervolume, computed once
for all tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto.choice import knee
from mtsearch.pareto.columns import Kinds, Row, searched
from mtsearch.pareto.constraints import feasible
from mtsearch.pareto.delta import with_delta_m
from mtsearch.pareto.front import front_mask, values
from mtsearch.pareto.indicators import Reference, hypervolume_series, reference_point
from mtsearch.pareto.trial_order import trial_order


@dataclass(frozen=True)
class Outcome:
    """A finished or unfinished search. Build it with `outcome`, which sorts the rows and adds
    `front`, `knee` and Delta-m to them."""

    rows: list[Row]
    history: list[Row]
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    control: str | None = None
    kinds: Kinds = field(default_factory=dict)
    notes: str = ""  # what the space says about its rows; tables show the columns that it names

    @property
    def goals(self) -> list[str]:
        """`min` or `max` per objective."""
        return [o.goal for o in self.objectives]

    @property
    def metrics(self) -> list[str]:
        """The objectives' metrics."""
        return [o.metric for o in self.objectives]

    @cached_property
    def search(self) -> list[Row]:
        """The trials of the search, without controls."""
        return [row for row in self.rows if row.get("kind") != "control"]

    @cached_property
    def controls(self) -> list[Row]:
        """The controls' rows."""
        return [row for row in self.rows if row.get("kind") == "control"]

    @cached_property
    def front(self) -> list[Row]:
        """The front's rows, from the best to the worst of the first objective."""
        inside = [row for row in self.search if row["front"]]
        sign = -1 if self.objectives[0].goal == "max" else 1
        return sorted(inside, key=lambda row: sign * float(row[self.objectives[0].metric]))

    @cached_property
    def knee(self) -> Row | None:
        """The front's knee, None while the front is empty."""
        return next((row for row in self.search if row["knee"]), None)

    @cached_property
    def eligible(self) -> list[Row]:
        """The search trials that could be on the front: done, within the constraints, every
        objective finite."""
        inside = feasible(self.search, self.constraints) & np.isfinite(
            values(self.search, self.objectives)
        ).all(axis=1)
        return [
            row
            for row, yes in zip(self.search, inside, strict=True)
            if yes and row.get("state") == "done"
        ]

    @cached_property
    def infeasible(self) -> list[Row]:
        """The search trials that are done but break a constraint."""
        kept = feasible(self.search, self.constraints)
        return [
            row
            for row, yes in zip(self.search, kept, strict=True)
            if not yes and row.get("state") == "done"
        ]

    @cached_property
    def reference(self) -> Reference:
        """The reference point of the hypervolume."""
        return reference_point(self.objectives, values(self.eligible, self.objectives), self.kinds)

    @cached_property
    def hypervolumes(self) -> list[float]:
        """The hypervolume after each of the `eligible` trials."""
        return hypervolume_series(
            values(self.eligible, self.objectives), self.goals, self.reference.values
        )

    @cached_property
    def varied(self) -> list[str]:
        """The configuration columns that the search varied."""
        return searched(self.search)

    @property
    def states(self) -> dict[str, int]:
        """How many search trials are in each state."""
        found: dict[str, int] = {}
        for row in self.search:
            found[str(row.get("state"))] = found.get(str(row.get("state")), 0) + 1
        return found


def outcome(
    rows: Sequence[Row],
    history: Sequence[Row],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint] = (),
    *,
    control: str | None = "stl",
    kinds: Kinds | None = None,
    notes: str = "",
) -> Outcome:
    """Sort the rows (trials by number, then controls), mark the front and its knee, and add Delta-m
    against `control`. The rows given stay as they are.

    `kinds` names the kind of each task; a task it does not name counts its `error` as a percentage.
    `notes` are the space's.
    """
    ordered = sorted(
        rows,
        key=lambda row: (
            row.get("kind") == "control",
            str(row.get("control") or ""),
            _order(row),
        ),
    )
    ordered = with_delta_m(ordered, control, kinds)
    mask = front_mask(ordered, objectives, constraints)
    for row, inside in zip(ordered, mask, strict=True):
        row["front"], row["knee"] = bool(inside), False
    front = [row for row in ordered if row["front"]]
    if front:
        front[knee(values(front, objectives), [o.goal for o in objectives])]["knee"] = True
    reports = sorted(history, key=lambda entry: (_order(entry), entry.get("report") or 0))
    return Outcome(
        ordered, reports, tuple(objectives), tuple(constraints), control, dict(kinds or {}), notes
    )


def _order(row: Row) -> tuple[bool, int, str]:
    return trial_order(str(row.get("trial")), row.get("kind") == "control")
