"""What a search says about its settings, as tables for Parquet files and for the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtsearch.pareto.columns import CONFIGURATION, Row, format_value, label
from mtsearch.pareto.result import SearchResult
from mtsearch.reporting.importance import Dependence, Importance, importance
from mtsearch.reporting.owners import owners
from mtsearch.reporting.page_data import counted_word
from mtsearch.reporting.stopped import stopped_predictions
from mtsearch.reporting.tables import write_rows

INSIGHT_PARTS = ("dependence", "owners", "stopped")
"""The sections of the page."""
_WIDE, _HIGH, _EDGE = 150, 46, 5  # of a small plot in pixels


@dataclass(frozen=True)
class Insight:
    """The importance of the settings (None with few trials), `owners` and `stopped` as in the
    functions of these names."""

    importance: Importance | None
    owners: list[Row]
    stopped: list[Row]


def insight_of(result: SearchResult) -> Insight:
    """Compute all of it: a forest and a Gaussian process per objective."""
    return Insight(importance(result), owners(result), stopped_predictions(result))


def write_insight(folder: Path, result: SearchResult, insight: Insight) -> None:
    """Write `importance.parquet`, `dependence.parquet`, `owners.parquet` and `stopped.parquet`,
    each where it has rows."""
    found = insight.importance
    tables: dict[str, list[Row]] = {"importance": [], "dependence": []}
    tables |= {"owners": insight.owners, "stopped": insight.stopped}
    if found is not None:
        tables["importance"] = [
            {
                "objective": metric,
                "setting": name,
                "importance": None if share is None else share[i],
                "explained": explained,
            }
            for metric, share, explained in zip(
                result.metrics, found.shares, found.explained, strict=True
            )
            for i, name in enumerate(found.settings)
        ]
        tables["dependence"] = [
            {
                "objective": result.metrics[one.objective],
                "setting": one.setting,
                "value": str(value),
                "number": value if isinstance(value, int | float) else None,
                "prediction": prediction,
            }
            for one in found.dependence
            for value, prediction in zip(one.values, one.predictions, strict=True)
        ]
    for name, rows in tables.items():
        path = folder / f"{name}.parquet"
        if rows:
            write_rows(path, rows, list(rows[0]))
        else:
            path.unlink(missing_ok=True)  # of an earlier report of the same run


def page_insight(result: SearchResult, insight: Insight) -> dict[str, Any]:
    """The tables of the page: `dependence` with small plots, `owners` and `stopped`; None where
    there is nothing."""
    labels = [label(m, result.kinds) for m in result.metrics]
    return {
        "dependence": _dependence(result, insight.importance, labels),
        "owners": _owners(result, insight.owners, labels),
        "stopped": _stopped(result, insight.stopped, labels),
    }


def _dependence(
    result: SearchResult, found: Importance | None, labels: list[str]
) -> dict[str, Any] | None:
    if found is None or not found.dependence:
        return None
    cells = {(one.setting, one.objective): one for one in found.dependence}
    names = list(dict.fromkeys(one.setting for one in found.dependence))
    ranges = {}  # the plots of one objective share their scale
    for i in range(len(labels)):
        drawn = [p for one in found.dependence if one.objective == i for p in one.predictions]
        ranges[i] = (min(drawn, default=0.0), max(drawn, default=1.0))
    rows = []
    for name in names:
        plots = []
        for i, metric in enumerate(result.metrics):
            one = cells.get((name, i))
            plots.append(None if one is None else _plot(one, metric, labels[i], ranges[i], result))
        rows.append({"name": name.removeprefix(CONFIGURATION), "plots": plots})
    return {"heads": ["setting", *labels], "rows": rows}


def _plot(
    one: Dependence, metric: str, words: str, limits: tuple[float, float], result: SearchResult
) -> dict[str, Any]:
    low, high = limits
    count = max(len(one.values) - 1, 1)
    points = [
        (
            _EDGE + (_WIDE - 2 * _EDGE) * i / count,
            _HIGH - _EDGE - (_HIGH - 2 * _EDGE) * ((p - low) / (high - low) if high > low else 0.5),
        )
        for i, p in enumerate(one.predictions)
    ]
    texts = [format_value(p, metric, result.kinds) for p in one.predictions]
    values = [format_value(v, one.setting) for v in one.values]
    pairs = "; ".join(f"{v}: {t}" for v, t in zip(values, texts, strict=True))
    numeric = not isinstance(one.values[0], str)
    return {
        "points": [(round(x, 1), round(y, 1)) for x, y in points],
        "line": " ".join(f"{x:.1f},{y:.1f}" for x, y in points) if numeric else "",
        "title": f"{words} by {one.setting.removeprefix(CONFIGURATION)}: {pairs}",
        "ends": f"{values[0]} … {values[-1]}" if numeric else " · ".join(values),
        "figures": f"{texts[0]} … {texts[-1]}" if numeric else " · ".join(texts),
    }


def _owners(result: SearchResult, rows: list[Row], labels: list[str]) -> dict[str, Any] | None:
    if not rows:
        return None
    heads = ["setting", "value", f"{counted_word(result)} trials", "on the front"]
    heads += ["hypervolume by it alone (%)", *(f"best {words} on the front" for words in labels)]
    lines = [
        [row["setting"], row["value"], str(row["trials"]), str(row["front"])]
        + [format_value(round(row["alone"], 1), "")]
        + [format_value(row[f"best/{m}"], m, result.kinds) for m in result.metrics]
        for row in rows
    ]
    return {"heads": heads, "rows": lines}


def _stopped(result: SearchResult, rows: list[Row], labels: list[str]) -> dict[str, Any] | None:
    if not rows:
        return None

    def cell(row: Row, metric: str) -> str:
        low, middle, high = (
            format_value(row[f"{part}/{metric}"], metric, result.kinds)
            for part in ("low", "predicted", "high")
        )
        return middle if low == high else f"{middle} ({low} to {high})"

    heads = ["trial", "stopped at epoch", *labels, "would be on the front"]
    lines = [
        [row["trial"], format_value(row["epoch"])]
        + [cell(row, m) for m in result.metrics]
        + ["yes" if row["front"] else "no"]
        for row in rows
    ]
    return {"heads": heads, "rows": lines}
