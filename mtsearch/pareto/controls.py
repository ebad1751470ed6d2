"""Searched controls: of several configurations the best one is the control."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mtsearch.pareto.columns import Row, number
from mtsearch.pareto.trial_names import configuration_of, repeat_of

_COSTS = ("cost/seconds", "cost/steps", "cost/epochs")


def mean_error(metrics: Mapping[str, Any]) -> float:
    """The mean validation error by which the best configuration of a control is chosen:
    `val/mean/error` (see `mtsearch.config.metrics`), else the plain mean over tasks; infinite
    without a finite error."""
    found = number(metrics, "val/mean/error")
    if not math.isfinite(found):
        errors = [
            number(metrics, key)
            for key in metrics
            if key.startswith("val/") and key.endswith("/error") and key.count("/") == 2
        ]
        found = math.fsum(errors) / len(errors) if errors else math.nan
    return found if math.isfinite(found) else math.inf


def best_candidate(candidates: Mapping[str, Sequence[Mapping[str, Any]]]) -> str | None:
    """The name of the configuration with the smallest mean error.

    Args:
        candidates: by name, in the order in which they were tried, the metrics of each seed that
            counts. Ties go to the earlier one.

    Returns:
        None where there is none.
    """
    means = {
        name: math.fsum(mean_error(seed) / len(seeds) for seed in seeds)
        for name, seeds in candidates.items()
        if seeds
    }
    return min(means, key=means.__getitem__, default=None)


def mark_candidates(rows: Sequence[Row]) -> None:
    """Give the rows of configurations that were tried for a control, but are not its best, the kind
    `candidate`. The rows of the best get the cost of all as `cost/search_...`."""
    controls = [row for row in rows if row.get("kind") == "control"]
    for control in dict.fromkeys(str(row.get("control") or row["trial"]) for row in controls):
        groups: dict[str, list[Row]] = {}  # by trial, with its repeats and points
        for row in controls:
            if str(row.get("control") or row["trial"]) == control:
                name = configuration_of(str(row["trial"])).partition("@")[0]
                groups.setdefault(name, []).append(row)
        if len(groups) == 1:
            continue
        seeds = {
            name: {repeat_of(str(row["trial"])) for row in group}
            for name, group in sorted(groups.items())
            if group[0].get("state") == "done"
        }
        fewest = min(map(len, seeds.values()), default=1)
        counted = {
            name: [
                row
                for row in groups[name]
                if row.get("state") == "done" and repeat_of(str(row["trial"])) < fewest
            ]
            for name in seeds
        }
        best = best_candidate(counted) or next(iter(groups))
        for name, group in groups.items():
            for row in group:
                if name != best:
                    row["kind"] = "candidate"
        for cost in _COSTS:
            spent = [number(group[0], cost) for group in groups.values()]
            total = math.fsum(value for value in spent if math.isfinite(value))
            for row in groups[best]:
                if total:
                    row[cost.replace("/", "/search_")] = total
