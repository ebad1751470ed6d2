"""Gain and harm per pair of tasks: what a task's error gains where it shares a network with another
task, from the trials of a search over `trial.groups`."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtsearch.pareto.columns import CONFIGURATION, GROUPS, Row, number
from mtsearch.pareto.result import SearchResult
from mtsearch.pareto.seeds import interval
from mtsearch.reporting.many_tasks import tasks_in
from mtsearch.reporting.tables import write_rows

COLUMNS = ("task", "other", "gain", "low", "high", "method", "pairs", "together", "apart")
DRAWS = 2000  # of the bootstrap


def task_pairs(result: SearchResult) -> list[Row]:
    """A row per ordered pair of tasks that some finished trials train together and others apart.

    ``gain`` is the error of `task` apart from `other` minus that together with it, in the unit of
    the error: above 0 sharing helps. ``low`` and ``high`` are its 95 % interval. ``method`` is
    ``paired`` where at least two settings were trained in both ways, and the interval is that of
    the mean of their differences (Student's t). Else it is ``unpaired``: all trials are compared,
    whatever their other settings are, and the interval is a percentile bootstrap; it is evidence
    only where these settings are drawn independently of the groups. ``pairs``, ``together`` and
    ``apart`` are numbers of pairs and of trials.
    """
    rows = [row for row in result.search_rows if row.get("state") == "done"]
    tasks = tasks_in(list(dict.fromkeys(key for row in rows for key in row)))
    groups = [_groups(row.get(GROUPS), tasks) for row in rows]
    keys = [_settings(row) for row in rows]
    found = []
    for task in tasks:
        errors = [number(row, f"val/{task}/error") for row in rows]
        for other in tasks:
            if other == task:
                continue
            shares = [group[task] == group[other] for group in groups]
            entry = _compare(errors, shares, keys)
            if entry is not None:
                found.append({"task": task, "other": other, **entry})
    return found


def write_task_pairs(path: Path, result: SearchResult) -> None:
    """Write `task_pairs` as Parquet where the search varies `trial.groups`."""
    if GROUPS in result.varied and (rows := task_pairs(result)):
        write_rows(path, rows, COLUMNS)


def _groups(text: Any, tasks: Sequence[str]) -> dict[str, int]:
    """The number of each task's group; without groups all tasks are together."""
    named = ast.literal_eval(text) if isinstance(text, str) and text else []
    found = {str(name): place for place, group in enumerate(named) for name in group}
    return {task: found.get(task, -1) for task in tasks}


def _settings(row: Row) -> tuple[tuple[str, str], ...]:
    """All settings of a trial but its groups."""
    return tuple(
        sorted(
            (key, repr(value))
            for key, value in row.items()
            if key.startswith(CONFIGURATION) and key != GROUPS
        )
    )


def _compare(
    errors: Sequence[float], shares: Sequence[bool], keys: Sequence[Any]
) -> Mapping[str, Any] | None:
    usable = [i for i, error in enumerate(errors) if math.isfinite(error)]
    together = [errors[i] for i in usable if shares[i]]
    apart = [errors[i] for i in usable if not shares[i]]
    if not together or not apart:
        return None
    both: dict[Any, tuple[list[float], list[float]]] = {}
    for i in usable:
        both.setdefault(keys[i], ([], []))[shares[i]].append(errors[i])
    gains = [
        math.fsum(one) / len(one) - math.fsum(two) / len(two)
        for one, two in both.values()
        if one and two
    ]
    counts = {"pairs": len(gains), "together": len(together), "apart": len(apart)}
    if len(gains) >= 2:
        mean, half = interval(gains)
        return {"gain": mean, "low": mean - half, "high": mean + half, "method": "paired", **counts}
    rng = np.random.default_rng(0)
    means = [
        rng.choice(np.asarray(values), (DRAWS, len(values))).mean(axis=1)
        for values in (apart, together)
    ]
    low, high = np.quantile(means[0] - means[1], (0.025, 0.975))
    known = min(len(together), len(apart)) > 1
    return {
        "gain": float(np.mean(apart) - np.mean(together)),
        "low": float(low) if known else math.nan,
        "high": float(high) if known else math.nan,
        "method": "unpaired",
        **counts,
    }
