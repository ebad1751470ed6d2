"""One trial out of the front: the knee, a preference, the best of one metric, a bound, or a trial
by its number."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto.columns import Row, known, number
from mtsearch.pareto.front import Floats, front_rows, minimised, values

FORMS = (
    "`knee`, `best:METRIC`, `preference:TASK=0.7,TASK=0.3`, `trial:0003` or `bound:METRIC<=VALUE`"
)


def normalised(points: ArrayLike, goals: Sequence[str]) -> Floats:
    """The points (n, k) with every objective in [0, 1], 0 the best and 1 the worst among them; a
    constant objective is 0."""
    array = minimised(points, goals)
    low, high = array.min(axis=0), array.max(axis=0)
    span = high - low
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (array - low) / np.where(span > 0, span, 1.0)
    return np.where(span > 0, scaled, 0.0)


def knee(points: ArrayLike, goals: Sequence[str]) -> int:
    """The index of the knee of a front (n, k), n >= 1: the point that bulges furthest towards the
    ideal.

    After normalisation to [0, 1] it is the point with the largest distance (1 - sum_i f_i) /
    sqrt(k) below the hyperplane through the k points at which one objective is worst and the others
    best. That is the knee of Das (1999, Structural Optimization 18), with the hyperplane through
    the unit points instead of through the single minimisers, which for more than two objectives
    need not span one. For two objectives both are the line between the front's two ends. Ties go to
    the smaller largest objective, then to the earlier point.
    """
    scaled = normalised(points, goals)
    return _smallest(scaled.sum(axis=1), scaled.max(axis=1))


def by_preference(points: ArrayLike, goals: Sequence[str], weights: Sequence[float]) -> int:
    """The index of the point of a front (n, k) with the smallest weighted Chebyshev distance max_i
    w_i f_i to the ideal, after normalisation to [0, 1].

    A larger weight asks for a better value of that objective. Ties go to the smaller weighted sum,
    then to the smaller plain sum, then to the earlier point (Miettinen 1999, section 3.4).
    """
    scaled = normalised(points, goals)
    weighted = scaled * np.asarray(weights, dtype=np.float64)
    return _smallest(weighted.max(axis=1), weighted.sum(axis=1), scaled.sum(axis=1))


def _smallest(*keys: NDArray[np.float64]) -> int:
    # rounding keeps a tie a tie where sums differ in the last bit only
    return int(np.lexsort([np.round(key, 12) for key in reversed(keys)])[0])


def choose(
    rows: Sequence[Row],
    objectives: Sequence[Objective],
    pick: str,
    constraints: Sequence[Constraint] = (),
) -> Row:
    """The row that `pick` asks for. All forms but `trial` choose from the front.

    * ``knee``: see `knee`.
    * ``preference:image=0.7,digit=0.3``: see `by_preference`. A name is a task, a metric or its
      last word; objectives without a weight only break ties.
    * ``best:METRIC``: the best value of any metric in the rows, in the objective's or the metric's
      direction.
    * ``bound:METRIC<=VALUE`` (or ``>=``; several separated by commas): the knee over the other
      objectives among the front trials that keep the bounds (the epsilon-constraint method, Haimes
      1971); with one other objective its best value.
    * ``trial:0003``: that trial, or the control of that name, on the front or not.

    Raises BadInput when the words cannot be read or no trial fits.
    """
    form, colon, rest = pick.strip().partition(":")
    forms: dict[str, Callable[[], Row]] = {
        "knee": lambda: _knee(_front(rows, objectives, constraints), objectives),
        "best": lambda: _best(_front(rows, objectives, constraints), objectives, rest),
        "preference": lambda: _preference(_front(rows, objectives, constraints), objectives, rest),
        "trial": lambda: _trial(rows, rest),
        "bound": lambda: _bound(_front(rows, objectives, constraints), objectives, rest),
    }
    if form not in forms or bool(colon and rest.strip()) == (form == "knee"):
        raise BadInput(f"`pick` should be {FORMS}. Found `{pick}`.")
    return forms[form]()


def _front(
    rows: Sequence[Row], objectives: Sequence[Objective], constraints: Sequence[Constraint]
) -> list[Row]:
    front = front_rows(rows, objectives, constraints)
    if not front:
        done = sum(
            row.get("state") == "done" and row.get("kind", "search") == "search" for row in rows
        )
        why = (
            f"none of its {done} finished trials keeps the constraints"
            if done
            else "it has no finished trial"
        )
        mend = "Extend the run or loosen `constraints`" if done else "Let it finish one"
        raise BadInput(
            f"the run has an empty front: {why}. {mend}, or name a control with `pick=trial:NAME`."
        )
    return front


def _knee(front: list[Row], objectives: Sequence[Objective]) -> Row:
    return front[knee(values(front, objectives), [o.goal for o in objectives])]


def _metrics(rows: Sequence[Row]) -> set[str]:
    """The metrics to pick by; not the tested ones: a model chosen by its test figure has none
    left."""
    told = ("trial", "test/", "population/", "attempts", "seed", "epoch", "report")
    names = {key for row in rows for key in row if not key.startswith(told)}
    return {name for name in names if any(math.isfinite(number(row, name)) for row in rows)}


def _best(front: list[Row], objectives: Sequence[Objective], metric: str) -> Row:
    metrics = _metrics(front)
    if metric not in metrics:
        raise BadInput(
            f"`pick=best:{metric}` names no metric of the front's trials."
            f" {nearest(metric, metrics)}"
        )
    goal = next((o.goal for o in objectives if o.metric == metric), known(metric).goal)
    column = np.array([number(row, metric) for row in front])
    best = np.where(np.isfinite(column), -column if goal == "max" else column, np.inf)
    others = normalised(values(front, objectives), [o.goal for o in objectives]).sum(axis=1)
    return front[_smallest(best, others)]


def _names(objectives: Sequence[Objective]) -> dict[str, list[int]]:
    names: dict[str, list[int]] = {}
    for i, objective in enumerate(objectives):
        parts = objective.metric.split("/")
        for name in {objective.metric, parts[-1], *([parts[1]] if len(parts) == 3 else [])}:
            names.setdefault(name, []).append(i)
    return {name: found for name, found in names.items() if len(found) == 1}


def _preference(front: list[Row], objectives: Sequence[Objective], text: str) -> Row:
    names = _names(objectives)
    weights = np.zeros(len(objectives))
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        if name not in names:
            raise BadInput(
                f"`pick=preference:{text}` names `{name}`, which means no single objective."
                f" {nearest(name, names)}"
            )
        try:
            weight = float(value)
        except ValueError:
            weight = math.nan
        if not (math.isfinite(weight) and weight >= 0):
            raise BadInput(
                f"`pick=preference:{text}` should give `{name}` a weight of at least 0. Found"
                f" `{value}`. Write, for example, `{name}=0.7`."
            )
        weights[names[name][0]] += weight
    if not weights.any():
        raise BadInput(
            f"`pick=preference:{text}` should give at least one objective a weight above 0."
        )
    return front[
        by_preference(
            values(front, objectives), [o.goal for o in objectives], list(weights / weights.sum())
        )
    ]


def _trial(rows: Sequence[Row], text: str) -> Row:
    text = text.strip()
    ids = {str(row.get("trial")): row for row in rows}
    ids |= {
        str(row["control"]): row
        for row in rows
        if row.get("kind") == "control" and row.get("control")
    }
    row = ids.get(text) or (ids.get(text.zfill(4)) if text.isdigit() else None)
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
    kept, bounded, metrics = list(front), set(), _metrics(front)
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\S+?)\s*(<=|>=)\s*(\S+)\s*", part)
        try:
            value = float(match[3]) if match else math.nan
        except ValueError:
            value = math.nan
        if match is None or math.isnan(value):
            raise BadInput(
                f"`pick=bound:{text}` should read METRIC<=VALUE or METRIC>=VALUE. Found `{part}`."
                " Write `bound:model/density<=0.5`."
            )
        metric, less = match[1], match[2] == "<="
        if metric not in metrics:
            raise BadInput(
                f"`pick=bound:{text}` names no metric of the front's trials: `{metric}`."
                f" {nearest(metric, metrics)}"
            )
        tried = kept
        kept = [
            row
            for row in tried
            if (number(row, metric) <= value if less else number(row, metric) >= value)
        ]
        if not kept:
            column = [number(row, metric) for row in tried if math.isfinite(number(row, metric))]
            edge = (
                f"the {'smallest' if less else 'largest'} left is"
                f" {min(column) if less else max(column):g}"
                if column
                else "none of them has it"
            )
            raise BadInput(
                f"`pick=bound:{text}` leaves no trial of the front: {edge}. Loosen the bound on"
                f" `{metric}`."
            )
        bounded.add(metric)
    free = [o for o in objectives if o.metric not in bounded] or list(objectives)
    scaled = normalised(values(kept, free), [o.goal for o in free])
    others = normalised(values(kept, objectives), [o.goal for o in objectives]).sum(axis=1)
    return kept[_smallest(scaled.sum(axis=1), scaled.max(axis=1), others)]
