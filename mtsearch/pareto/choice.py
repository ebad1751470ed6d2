"""The choice of one trial of a search: `auto`, the knee, a preference, the best of one metric, a
bound, or a trial by its number."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import numpy as np

from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto.columns import Row, metric_info, number
from mtsearch.pareto.constraints import Floats
from mtsearch.pareto.dominance import non_dominated, objective_values
from mtsearch.pareto.front import front_rows
from mtsearch.pareto.picking import by_preference, distinct, first_smallest, knee, normalised
from mtsearch.pareto.seeds import merge_seeds
from mtsearch.pareto.trial_names import trial_of

FORMS = (
    "`auto`, `knee`, `best:METRIC`, `preference:TASK=0.7,TASK=0.3`, `trial:0003` or"
    " `bound:METRIC<=VALUE`"
)
_BOUND = re.compile(r"\s*(\S+?)\s*(<=|>=)\s*(\S+)\s*")


def choose(
    rows: Sequence[Row],
    objectives: Sequence[Objective],
    pick: str = "auto",
    constraints: Sequence[Constraint] = (),
) -> Row:
    """The row that `pick` chooses. All forms but `trial` choose from the front.

    * ``auto``: the only point of the front; of two, the one for equal preference; the knee from
      three on. Equal points count once.
    * ``knee``: see `knee`; refused where the front has fewer than three different points.
    * ``preference:image=0.7,digit=0.3``: see `by_preference`. A name is a task, a metric or its
      last word; objectives without a weight only break ties.
    * ``best:METRIC``: the best value of any metric in the rows, in the objective's or the metric's
      direction.
    * ``bound:METRIC<=VALUE`` (or ``>=``; several separated by commas): as ``auto`` over the other
      objectives among the front trials that satisfy the bounds (the epsilon-constraint method,
      Haimes 1971); with one other objective its best value.
    * ``trial:0003``: that trial, or the control of that name, on the front or not; `0003.s1` is
      its repeat with another seed.

    Configurations that were trained with several seeds are chosen by their means (see
    `merge_seeds`); the row is that of the first seed.

    Raises:
        BadInput: `pick` cannot be read, or no trial fits.
    """
    form, colon, rest = pick.strip().partition(":")
    forms: dict[str, Callable[[list[Row]], Row]] = {
        "auto": lambda front: _auto(front, objectives),
        "knee": lambda front: _knee(front, objectives),
        "best": lambda front: _best(front, objectives, rest),
        "preference": lambda front: _preference(front, objectives, rest),
        "bound": lambda front: _bound(front, objectives, rest),
    }
    bare = form in ("auto", "knee")
    if form not in (*forms, "trial") or bool(colon and rest.strip()) == bare:
        raise BadInput(f"`pick` should be {FORMS}. Found `{pick}`.")
    merged = merge_seeds(rows, objectives, constraints)
    if form == "trial":
        return _trial([*rows, *merged], rest)
    return forms[form](_front(merged, objectives, constraints))


def _front(
    rows: Sequence[Row], objectives: Sequence[Objective], constraints: Sequence[Constraint]
) -> list[Row]:
    front = front_rows(rows, objectives, constraints)
    if front:
        return front
    done = sum(row.get("state") == "done" and row.get("kind", "search") == "search" for row in rows)
    if done:
        why = f"none of its {done} finished trials satisfies the constraints"
        step = "Extend the run or loosen `constraints`"
    else:
        why, step = "it has no finished trial", "Let one finish"
    raise BadInput(
        f"the run has an empty front: {why}. {step}, or name a control with `pick=trial:NAME`."
    )


def _auto(
    front: Sequence[Row], objectives: Sequence[Objective], ties: Sequence[Objective] = ()
) -> Row:
    """`auto` over `objectives`, not necessarily all; of equal points the best in `ties`."""
    points, goals = objective_values(front, objectives), _goals(objectives)
    index = knee(points, goals)
    if index is None:
        index = by_preference(points, goals, [1 / len(goals)] * len(goals))
    if not ties:
        return front[index]
    equal = [
        row for row, point in zip(front, points, strict=True) if (point == points[index]).all()
    ]
    return equal[first_smallest(_sums(equal, ties))]


def _knee(front: list[Row], objectives: Sequence[Objective]) -> Row:
    points, goals = objective_values(front, objectives), _goals(objectives)
    index = knee(points, goals)
    if index is None:
        count = distinct(points, goals)
        raise BadInput(
            f"`pick=knee` needs a front of at least 3 different points. Found {count}. Use"
            " `pick=auto`, `pick=best:METRIC` or `pick=preference:TASK=0.7,TASK=0.3`."
        )
    return front[index]


def _goals(objectives: Sequence[Objective]) -> list[str]:
    return [o.goal for o in objectives]


def _sums(rows: Sequence[Row], objectives: Sequence[Objective]) -> Floats:
    """The sums (n,) of the normalised objectives."""
    scaled = normalised(objective_values(rows, objectives), _goals(objectives))
    return np.asarray(scaled.sum(axis=1), dtype=np.float64)


def _metrics(rows: Sequence[Row]) -> set[str]:
    """The metrics to choose by, without test metrics: test figures of a model that was chosen by
    them would be biased."""
    excluded = ("trial.", "test/", "population/", "ci95/", "diff/")
    words = {"trial", "attempts", "seed", "epoch", "report"}
    names = {
        key for row in rows for key in row if not key.startswith(excluded) and key not in words
    }
    return {name for name in names if any(math.isfinite(number(row, name)) for row in rows)}


def _best(front: list[Row], objectives: Sequence[Objective], metric: str) -> Row:
    metrics = _metrics(front)
    if metric not in metrics:
        raise BadInput(
            f"`pick=best:{metric}` names no metric of the front's trials."
            f" {nearest(metric, metrics)}"
        )
    goal = next((o.goal for o in objectives if o.metric == metric), metric_info(metric).goal)
    column = np.array([number(row, metric) for row in front])
    best = np.where(np.isfinite(column), -column if goal == "max" else column, np.inf)
    return front[first_smallest(best, _sums(front, objectives))]


def _names(objectives: Sequence[Objective]) -> dict[str, int]:
    """The index of an objective by each name that means it alone."""
    names: dict[str, list[int]] = {}
    for i, objective in enumerate(objectives):
        parts = objective.metric.split("/")
        for name in {objective.metric, parts[-1], *([parts[1]] if len(parts) == 3 else [])}:
            names.setdefault(name, []).append(i)
    return {name: found[0] for name, found in names.items() if len(found) == 1}


def task_weights(objectives: Sequence[Objective], pick: str) -> dict[str, float] | None:
    """The weights of the tasks in ``preference:image=0.7,digit=0.3``, with sum 1; None for another
    form, and where a weight belongs to no task's validation error. Raises BadInput where it cannot
    be read."""
    form, _, text = pick.strip().partition(":")
    if form != "preference":
        return None
    found: dict[str, float] = {}
    for objective, weight in zip(objectives, _weights(objectives, text), strict=True):
        parts = objective.metric.split("/")
        if len(parts) == 3 and parts[0] == "val":
            found[parts[1]] = found.get(parts[1], 0.0) + float(weight)
        elif weight:
            return None
    return found


def _preference(front: list[Row], objectives: Sequence[Objective], text: str) -> Row:
    points = objective_values(front, objectives)
    return front[by_preference(points, _goals(objectives), list(_weights(objectives, text)))]


def _weights(objectives: Sequence[Objective], text: str) -> Floats:
    """The weights (n,) of the objectives, with sum 1."""
    names = _names(objectives)
    weights = np.zeros(len(objectives))
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        if name not in names:
            raise BadInput(
                f"`pick=preference:{text}` names `{name}`, which means no single objective."
                f" {nearest(name, names)}"
            )
        weight = _float(value)
        if not (math.isfinite(weight) and weight >= 0):
            raise BadInput(
                f"`pick=preference:{text}` should give `{name}` a weight of at least 0. Found"
                f" `{value}`. Write, for example, `{name}=0.7`."
            )
        weights[names[name]] += weight
    if not weights.any():
        raise BadInput(
            f"`pick=preference:{text}` should give at least one objective a weight above 0."
        )
    return np.asarray(weights / weights.sum())


def _trial(rows: Sequence[Row], text: str) -> Row:
    text = text.strip()
    ids = {str(row.get("trial")): row for row in rows}
    ids |= {
        str(row["control"]): row
        for row in rows
        if row.get("kind") == "control" and row.get("control")
    }
    row = ids.get(text) or (ids.get(text.zfill(4)) if text.isdigit() else None)
    name = text.zfill(4) if text.isdigit() else text
    points = [point for point in ids if trial_of(point) == name]
    if row is None and points:
        raise BadInput(
            f"`pick=trial:{text}` names a trial with {len(points)} points, `{points[0]}` to"
            f" `{points[-1]}`. Name one of them, or use `pick=preference:TASK=0.7,TASK=0.3`."
        )
    if row is None:
        raise BadInput(f"`pick=trial:{text}` names no trial of the run. {nearest(text, ids)}")
    if row.get("state") != "done":
        reason = f": {row['reason']}" if row.get("reason") else ""
        raise BadInput(
            f"`pick=trial:{text}` names a trial that is {row.get('state')}, not done{reason}."
            " Choose a finished one."
        )
    return row


def _bound(front: list[Row], objectives: Sequence[Objective], text: str) -> Row:
    left, bounded, metrics = front, set(), _metrics(front)
    for part in text.split(","):
        match = _BOUND.fullmatch(part)
        value = _float(match[3]) if match else math.nan
        if match is None or math.isnan(value):
            raise BadInput(
                f"`pick=bound:{text}` should read METRIC<=VALUE or METRIC>=VALUE. Found `{part}`."
                " Write `bound:model/density<=0.5`."
            )
        metric, upper = match[1], match[2] == "<="
        if metric not in metrics:
            raise BadInput(
                f"`pick=bound:{text}` names no metric of the front's trials: `{metric}`."
                f" {nearest(metric, metrics)}"
            )
        left = _within(left, metric, value, upper, text)
        bounded.add(metric)
    free = [o for o in objectives if o.metric not in bounded] or list(objectives)
    inside = non_dominated(objective_values(left, free), _goals(free))
    best = [row for row, stays in zip(left, inside, strict=True) if stays]
    return _auto(best, free, ties=objectives)


def _within(rows: list[Row], metric: str, value: float, upper: bool, text: str) -> list[Row]:
    """The rows that satisfy one bound. Raises BadInput where none does."""
    column = [number(row, metric) for row in rows]
    inside = [
        row
        for row, entry in zip(rows, column, strict=True)
        if (entry <= value if upper else entry >= value)
    ]
    if inside:
        return inside
    finite = [entry for entry in column if math.isfinite(entry)]
    if finite:
        nearest_value = min(finite) if upper else max(finite)
        found = f"the {'smallest' if upper else 'largest'} left is {nearest_value:g}"
    else:
        found = "none of them has it"
    raise BadInput(
        f"`pick=bound:{text}` leaves no trial of the front: {found}. Loosen the bound on"
        f" `{metric}`."
    )


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
