"""Which architecture, weighting or other choice owns which part of the front."""

from __future__ import annotations

import math

from mtsearch.pareto.columns import CONFIGURATION, GROUPS, Row, groups_text, number
from mtsearch.pareto.dominance import objective_values
from mtsearch.pareto.result import SearchResult
from mtsearch.pareto.volume import hypervolume

MOST_VALUES = 12
"""Settings with more values are no choice between a few."""


def owners(result: SearchResult) -> list[Row]:
    """A row per value of each setting of text that the search varied, where the front has a point.

    `trials` are the finished ones with the value, `front` those on the front, `alone` the share in
    percent of the front's hypervolume that is lost without them, and `best/METRIC` the best value
    of each objective among its points of the front (None where it has none).
    """
    found: list[Row] = []
    whole = _volume(result, result.front_rows)
    for setting in result.varied if result.front_rows else ():
        values = [row.get(setting) for row in result.counted]
        named = {str(v) for v in values if v is not None}
        texts = [v for v in values if v is not None]
        if not 2 <= len(named | ({"–"} if None in values else set())) <= MOST_VALUES:
            continue
        if any(isinstance(v, int | float) and not isinstance(v, bool) for v in texts):
            continue
        for value in sorted({_text(setting, v) for v in values}):
            own = [r for r in result.counted if _text(setting, r.get(setting)) == value]
            on = [r for r in result.front_rows if _text(setting, r.get(setting)) == value]
            # without them, points that they dominated may count
            rest = _volume(
                result, [r for r in result.counted if _text(setting, r.get(setting)) != value]
            )
            entry: Row = {"setting": setting.removeprefix(CONFIGURATION), "value": value}
            entry |= {"trials": len(own), "front": len(on)}
            entry["alone"] = 100 * (whole - rest) / whole if whole > 0 else math.nan
            for o in result.objectives:
                best = max if o.goal == "max" else min
                entry[f"best/{o.metric}"] = best((number(r, o.metric) for r in on), default=None)
            found.append(entry)
    return found


def _text(setting: str, value: object) -> str:
    if value is None:
        return "–"
    return groups_text(value) if setting == GROUPS else str(value)


def _volume(result: SearchResult, rows: list[Row]) -> float:
    if not rows:
        return 0.0
    points = objective_values(rows, result.objectives)
    volume: float = hypervolume(points, result.goals, result.front.reference.values)
    return volume
