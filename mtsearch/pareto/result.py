"""The result of a search: its rows in order, the front, the knee and the hypervolume, computed once
for all tables and plots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from mtsearch.config.metrics import DELTA_M
from mtsearch.config.schema import Constraint, Objective
from mtsearch.config.text import printable
from mtsearch.pareto.columns import Kinds, Row, number, varied_columns
from mtsearch.pareto.constraints import feasible
from mtsearch.pareto.delta import with_delta_m
from mtsearch.pareto.dominance import objective_values
from mtsearch.pareto.front import Front, front_of
from mtsearch.pareto.seeds import members, merge_seeds
from mtsearch.pareto.trial_names import trial_of, trial_order
from mtsearch.pareto.volume import hypervolume_series

Entry = TypeVar("Entry", Objective, Constraint)


@dataclass(frozen=True)
class SearchResult:
    """A finished or unfinished search. Build it with `search_result`, which sorts the rows, merges
    those of the same configuration and adds `front`, `knee` and Delta-m to them.

    Attributes:
        rows: of all configurations and controls, with all columns (see `merge_seeds`).
        history: one row per report.
        objectives: what the front is over.
        front: the front; its keys are indices into `rows`.
        constraints: bounds that the front satisfies.
        control: the name of the control that Delta-m compares with.
        kinds: the kind of each task.
        notes: the notes of the space; tables have the columns that they name.
        members: the rows of each configuration by its name, one per seed, the first one first.
        ended: which rule of `search.stop` has ended the search; None where none has.
    """

    rows: list[Row]
    history: list[Row]
    objectives: tuple[Objective, ...]
    front: Front[int]
    constraints: tuple[Constraint, ...] = ()
    control: str | None = None
    kinds: Kinds = field(default_factory=dict)
    notes: str = ""
    members: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    ended: str | None = None

    @property
    def seeds(self) -> int:
        """The largest number of seeds of a configuration."""
        return max(map(len, self.members.values()), default=1)

    @property
    def goals(self) -> list[str]:
        """`min` or `max` per objective."""
        return [o.goal for o in self.objectives]

    @property
    def metrics(self) -> list[str]:
        """The objectives' metrics."""
        return [o.metric for o in self.objectives]

    @cached_property
    def search_rows(self) -> list[Row]:
        """The trials of the search, without controls and what was tried for them."""
        return [row for row in self.rows if row.get("kind", "search") == "search"]

    @cached_property
    def control_rows(self) -> list[Row]:
        """The rows of the controls."""
        return [row for row in self.rows if row.get("kind") == "control"]

    @cached_property
    def front_rows(self) -> list[Row]:
        """The rows on the front, from the best to the worst of the first objective."""
        first = self.objectives[0]
        sign = -1 if first.goal == "max" else 1
        inside = [self.rows[index] for index in self.front.keys]
        return sorted(inside, key=lambda row: sign * number(row, first.metric))

    @cached_property
    def knee(self) -> Row | None:
        """The knee of the front, None where it has fewer than three different points."""
        return next((row for row in self.rows if row["knee"]), None)

    @cached_property
    def eligible(self) -> list[Row]:
        """The search trials that could be on the front: done, within the constraints, every
        objective finite."""
        mask = self.front.eligible(self.search_rows)
        return [
            row
            for row, counts in zip(self.search_rows, mask, strict=True)
            if counts and row.get("state") == "done"
        ]

    @property
    def counted(self) -> list[Row]:
        """The `eligible` trials; where some were confirmed with more seeds, these alone."""
        return [row for row in self.eligible if row.get("confirmed") is not False]

    @cached_property
    def infeasible(self) -> list[Row]:
        """The search trials that are done but break a constraint."""
        mask = feasible(self.search_rows, self.constraints)
        return [
            row
            for row, satisfied in zip(self.search_rows, mask, strict=True)
            if not satisfied and row.get("state") == "done"
        ]

    @cached_property
    def hypervolumes(self) -> list[float]:
        """The hypervolume after each of the `counted` trials, by number, all with the final
        reference point."""
        return hypervolume_series(
            objective_values(self.counted, self.objectives),
            self.goals,
            self.front.reference.values,
        )

    @cached_property
    def varied(self) -> list[str]:
        """The configuration columns that the search varied."""
        return varied_columns(self.search_rows)

    @property
    def states(self) -> dict[str, int]:
        """How many search trials are in each state; a trial with several points counts once."""
        trials = {trial_of(str(row.get("trial"))): row.get("state") for row in self.search_rows}
        return dict(Counter(map(str, trials.values())))

    @property
    def trials(self) -> int:
        """The number of search trials."""
        return sum(self.states.values())


def search_result(
    rows: Sequence[Row],
    history: Sequence[Row],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint] = (),
    *,
    control: str | None = "stl",
    kinds: Kinds | None = None,
    notes: str = "",
    ended: str | None = None,
) -> SearchResult:
    """Sort the rows (trials by number, then controls), mark the front and its knee, and add Delta-m
    against `control`.

    The rows given stay as they are. Text in the result has no control characters, as it is printed
    and written to files.

    Args:
        rows: a dict per trial: `trial`, `kind` (search or control), `state`, metrics, settings.
        history: a dict per report: `trial`, `report`, metrics.
        objectives: at least one.
        constraints: bounds that a trial on the front satisfies.
        control: the control that Delta-m compares with, None for no Delta-m.
        kinds: the kind of each task; a task it does not name counts its `error` as a percentage.
        notes: of the space.
        ended: which rule has ended the search.
    """
    objectives = [_clean_metric(o) for o in objectives]
    constraints = [_clean_metric(c) for c in constraints]
    kinds = {printable(task): kind for task, kind in (kinds or {}).items()}
    ordered = sorted(
        _clean_rows(rows),
        key=lambda row: (
            row.get("kind") == "control",
            str(row.get("control") or ""),
            _order(row),
        ),
    )
    seeds = with_delta_m(ordered, control, kinds)
    if any(o.metric == DELTA_M for o in objectives):  # missing in controls that ran before the one
        for row in seeds:
            if row.get("kind") == "control" and row.get(DELTA_M) is None:
                row[DELTA_M] = row.get("delta_m")
    ordered = [dict(row) for row in merge_seeds(seeds, objectives, constraints)]
    front = front_of(ordered, objectives, constraints, kinds)
    on, knee = set(front.keys), front.knee
    for index, row in enumerate(ordered):
        row["front"], row["knee"] = index in on, index == knee
    reports = sorted(
        _clean_rows(history), key=lambda entry: (_order(entry), entry.get("report") or 0)
    )
    return SearchResult(
        ordered,
        reports,
        tuple(objectives),
        front,
        tuple(constraints),
        control,
        kinds,
        printable(notes, lines=True),
        members(seeds),
        None if ended is None else printable(ended),
    )


def _clean_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows with printable columns and text."""
    names = {key: printable(key) for row in rows for key in row}
    return [
        {
            names[key]: printable(value) if isinstance(value, str) else value
            for key, value in row.items()
        }
        for row in rows
    ]


def _clean_metric(entry: Entry) -> Entry:
    return entry.model_copy(update={"metric": printable(entry.metric)})


def _order(row: Row) -> tuple[bool, float, str]:
    return trial_order(str(row.get("trial")), row.get("kind") == "control")
