"""The data that the script of the report page draws from."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from mtsearch.pareto.columns import CONFIGURATION, Row, column_order, format_value, label, number
from mtsearch.pareto.constraints import feasible
from mtsearch.pareto.result import SearchResult
from mtsearch.reporting import palette
from mtsearch.reporting.notes import result_columns
from mtsearch.reporting.table_columns import TableColumns

_IDENTITY = (
    "trial",
    "kind",
    "control",
    "state",
    "reason",
    "front",
    "knee",
    "dataset",
    "seed",
    "report",
    "phase",
    "epoch",
    "command",
)


def script_json(data: Any) -> str:
    """JSON in which no text can close the script element. Raises ValueError for a number that is
    not finite."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def page_data(
    result: SearchResult, name: str, columns: TableColumns, facts: dict[str, Any]
) -> dict[str, Any]:
    """The data of a page without numbers that are not finite.

    A row's values and texts are in the order of `metrics`, its configuration in that of `settings`:
    with a name for each value the page would be twice as large.

    Args:
        result: of the search.
        name: of the space.
        columns: of the page's table.
        facts: further entries, as they are.
    """
    metrics = _finite_metrics(result.rows, result.metrics)
    validated = [m for m in result.metrics if m.startswith("val/")]
    curves = _finite_metrics(result.history, validated)
    axes = [*result.metrics, *(m for m in metrics if m not in result.metrics)]
    settings = list(dict.fromkeys([*result.varied, *columns.settings, *columns.omitted]))
    return {
        "name": name,
        "objectives": [{"metric": o.metric, "goal": o.goal} for o in result.objectives],
        "axes": axes,
        "results": result_columns(result),
        "varied": result.varied,
        "settings": settings,
        "metrics": metrics,
        "curves": curves,
        "labels": {m: label(m, result.kinds) for m in sorted({*axes, *curves})},
        "rows": _rows(result, metrics, settings),
        "history": _history(result.history, curves),
        "hypervolume": _hypervolume(result),
        "palette": {
            "front": palette.FRONT,
            "knee": palette.KNEE,
            "other": palette.OTHER,
            "controls": palette.CONTROLS,
            "symbols": palette.CONTROL_SYMBOLS,
            "solids": palette.CONTROL_SOLIDS,
        },
        **facts,
    }


def _finite_metrics(rows: Sequence[Row], first: Sequence[str]) -> list[str]:
    """The metrics that some row has as a finite number, `first` before the others."""
    names = [
        c
        for c in column_order(rows, first)
        if c not in _IDENTITY and not c.startswith(CONFIGURATION)
    ]
    ordered = [*first, *(c for c in names if c not in first)]
    return [c for c in ordered if any(math.isfinite(number(row, c)) for row in rows)]


def _rows(
    result: SearchResult, metrics: Sequence[str], settings: Sequence[str]
) -> list[dict[str, Any]]:
    satisfied = feasible(result.rows, result.constraints)
    return [
        {
            "id": str(row.get("trial")),
            "name": str(
                (row.get("control") if row.get("kind") == "control" else None) or row.get("trial")
            ),
            "kind": row.get("kind", "search"),
            "state": str(row.get("state")),
            "reason": row.get("reason"),
            "front": row["front"],
            "knee": row["knee"],
            "feasible": bool(inside),
            "values": [_finite(number(row, m)) for m in metrics],
            "text": [format_value(row.get(m), m, result.kinds) for m in metrics],
            "config": [_setting(row.get(key)) for key in settings],
            "command": row.get("command"),
        }
        for row, inside in zip(result.rows, satisfied, strict=True)
    ]


def _history(reports: Sequence[Row], curves: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
    """The curves of each trial."""
    found: dict[str, dict[str, list[Any]]] = {}
    for entry in reports:
        lines = found.setdefault(
            str(entry.get("trial")), {c: [] for c in ("report", "epoch", *curves)}
        )
        for column, cells in lines.items():
            position = column in ("report", "epoch")
            cells.append(
                _finite(entry.get(column)) if position else _six_digits(number(entry, column))
            )
    return found


def _hypervolume(result: SearchResult) -> dict[str, Any]:
    box = result.front.reference.box
    return {
        "trials": [str(row["trial"]) for row in result.eligible],
        "values": [100 * v / box if box else v for v in result.hypervolumes],
        "title": "hypervolume (% of the box)" if box else "hypervolume",
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _six_digits(value: float) -> float | None:
    """A point of a curve; a plot resolves no more digits."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _setting(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return str(value).lower() if isinstance(value, bool) else value
    return _finite(value) if isinstance(value, int | float) else str(value)
