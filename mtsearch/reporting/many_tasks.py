"""The columns of tables of searches with many tasks: aggregates, and the tasks that differ most."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mtsearch.config.metrics import AGGREGATES
from mtsearch.pareto.columns import Row, is_aggregate, number

MANY = 8  # tasks, above which tables group them
SHOWN = 5  # tasks with columns of their own


def tasks_in(names: Sequence[str], split: str = "val") -> list[str]:
    """The tasks whose `error` on a split is among the names of metrics, in their order."""
    return [
        name.split("/")[1]
        for name in names
        if name.startswith(f"{split}/")
        and name.endswith("/error")
        and name.count("/") == 2
        and not is_aggregate(name)
    ]


def grouped_columns(rows: Sequence[Row], objectives: Sequence[str]) -> list[str] | None:
    """The result columns besides the objectives; None where the rows have at most `MANY` tasks.

    They are the mean, the worst and the spread of all tasks' errors, the errors of the tasks that
    differ most between the rows, so that with the objectives `SHOWN` tasks have a column, and the
    aggregates on the test split.
    """
    names = list(dict.fromkeys(key for row in rows for key in row))
    tasks = tasks_in(names)
    if len(tasks) <= MANY:
        return None
    shown = {name.split("/")[1] for name in objectives if name.count("/") == 2}
    ranked = sorted(
        (task for task in tasks if task not in shown),
        key=lambda task: (-_difference(rows, f"val/{task}/error"), task),
    )
    left = max(SHOWN - len(shown & set(tasks)), 0)
    return [
        *(f"val/{name}/error" for name in AGGREGATES),
        *(f"val/{task}/error" for task in ranked[:left]),
        *(f"test/{name}/error" for name in AGGREGATES[:2]),
    ]


def without_crowd(rows: Sequence[Row], columns: Sequence[str]) -> list[str]:
    """The columns of a table of many tasks, of single tasks the `SHOWN` that differ most between
    the rows."""
    tasks = tasks_in(list(columns))
    if len(tasks) <= SHOWN:
        return list(columns)
    ranked = sorted(tasks, key=lambda task: (-_difference(rows, f"val/{task}/error"), task))
    hidden = {f"val/{task}/error" for task in ranked[SHOWN:]}
    return [column for column in columns if column not in hidden]


def grouped_metrics(metrics: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The metrics with a prefix, such as ``val/``; of more than `MANY` tasks the aggregates."""
    found = {key: value for key, value in metrics.items() if key.startswith(prefix)}
    if len(tasks_in(list(found), prefix.rstrip("/"))) <= MANY:
        return found
    return {key: value for key, value in found.items() if is_aggregate(key)}


def _difference(rows: Sequence[Row], metric: str) -> float:
    """The range of a metric among rows, relative to its mean."""
    values = [number(row, metric) for row in rows]
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return 0.0
    return (max(finite) - min(finite)) / (abs(math.fsum(finite) / len(finite)) or 1.0)
