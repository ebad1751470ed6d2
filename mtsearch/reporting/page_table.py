"""The parts of the report page that need no script: the figures at the top and the table of
trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mtsearch.pareto.columns import Row, format_mean, format_value, number
from mtsearch.pareto.result import SearchResult
from mtsearch.reporting.notes import identity, result_columns
from mtsearch.reporting.table_columns import MAX_SETTINGS, TableColumns, heading, select_columns

STATIC_ROWS = 100
_TEXT = ("trial", "state")


def cards(result: SearchResult) -> list[dict[str, str]]:
    """The figures at the top of the page: title, value, note and the trial that it leads to."""
    finished = result.states.get("done", 0)
    others = ", ".join(
        f"{count} {state}" for state, count in sorted(result.states.items()) if state != "done"
    )
    found = [
        _card("finished trials", f"{finished} of {result.trials}", others or "none failed"),
        _card(
            "on the front",
            str(len(result.front_rows)),
            f"over {len(result.objectives)} objectives",
        ),
    ]
    if result.front_rows:
        value, box = result.front.hypervolume, result.front.reference.box
        share = f"{100 * value / box:.2f} %" if box else f"{value:.4g}"
        unit = "of the box to the ideal point" if box else "in the objectives' units"
        estimate = ", estimated" if result.front.hypervolume_error else ""
        found.append(_card("hypervolume", share, unit + estimate))
    for objective in result.objectives:
        if best := _best(result.front_rows, objective.metric, objective.goal):
            value, row = best
            text = format_value(value, objective.metric, result.kinds)
            found.append(
                _card(
                    f"best {validation_label(objective.metric, result)}",
                    text,
                    _test_note(row, objective.metric, result),
                    str(row["trial"]),
                )
            )
    if best := _best(result.front_rows, "delta_m", "max"):
        value, row = best
        note = f"{_test_note(row, 'delta_m', result)}; against {result.control}"
        text = format_value(value, "delta_m")
        found.append(_card("best Δm (%), validation", text, note, str(row["trial"])))
    return found


def validation_label(column: str, result: SearchResult) -> str:
    """The heading of a column; a figure of the validation split says so."""
    text = heading(column, result)
    if not (column.startswith("val/") or column == "delta_m"):
        return text
    words, bracket, unit = text.partition(" (")
    return f"{words}, validation{bracket}{unit}"


def _card(title: str, value: str, note: str, trial: str = "") -> dict[str, str]:
    return {"title": title, "value": value, "note": note, "trial": trial}


def _best(rows: Sequence[Row], metric: str, goal: str) -> tuple[float, Row] | None:
    column = [(number(row, metric), row) for row in rows if math.isfinite(number(row, metric))]
    if not column:
        return None
    return (max if goal == "max" else min)(column, key=lambda entry: entry[0])


def _test_note(row: Row, metric: str, result: SearchResult) -> str:
    """The trial, and its test figure of the same metric where it was tested."""
    tested = f"test/{metric.removeprefix('val/')}"
    if not (metric.startswith("val/") or metric == "delta_m") or row.get(tested) is None:
        return f"trial {row['trial']}"
    return f"trial {row['trial']}; test {format_value(row[tested], tested, result.kinds)}"


def tabs(result: SearchResult) -> list[dict[str, Any]]:
    """The groups of rows that the table can be limited to."""
    failed = sum(row.get("state") == "failed" for row in result.rows)
    controls = len(result.control_rows)
    groups = [
        {
            "key": "front",
            "title": "front and controls",
            "count": len(result.front_rows) + controls,
        },
        {"key": "all", "title": "all", "count": len(result.rows)},
        {"key": "failed", "title": "failed", "count": failed},
    ]
    return groups if result.front_rows else groups[1:]


def page_columns(result: SearchResult) -> TableColumns:
    """The settings and measures of the page's table."""
    return select_columns(result, result.rows, result_columns(result), MAX_SETTINGS + 2)


def table_columns(result: SearchResult, columns: TableColumns) -> list[str]:
    """All columns of the page's table in order."""
    always = [
        c
        for c in ("model/params", "cost/seconds")
        if any(math.isfinite(number(row, c)) for row in result.rows)
    ]
    figures = dict.fromkeys([*result_columns(result), *always, *columns.measures])
    return ["trial", "state", *figures, *columns.settings]


def column_heads(result: SearchResult, columns: Sequence[str]) -> list[dict[str, str]]:
    """Label and kind of each column."""
    return [{"label": _head(c, result), "kind": _kind(c, result.rows)} for c in columns]


def table_rows(result: SearchResult, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows that the page shows without a script: the front and the controls, or the first
    trials where there is no front; at most `STATIC_ROWS`."""
    kinds = {column: _kind(column, result.rows) for column in columns}
    rows = [*(result.front_rows or result.search_rows), *result.control_rows]
    return [_row(row, kinds, result) for row in rows[:STATIC_ROWS]]


def _head(column: str, result: SearchResult) -> str:
    return column if column in _TEXT else validation_label(column, result)


def _kind(column: str, rows: Sequence[Row]) -> str:
    if column in _TEXT:
        return column
    cells = [row.get(column) for row in rows if row.get(column) is not None]
    numeric = all(isinstance(c, int | float) and not isinstance(c, bool) for c in cells)
    return "number" if cells and numeric else "text"


def _row(row: Row, kinds: dict[str, str], result: SearchResult) -> dict[str, Any]:
    style = "front" if row["front"] else "control" if row.get("kind") == "control" else "rest"
    return {
        "id": str(row.get("trial")),
        "style": f"knee {style}" if row["knee"] else style,
        "cells": [
            {"kind": kind, "text": _text(row, column, kind, result)}
            for column, kind in kinds.items()
        ],
    }


def _text(row: Row, column: str, kind: str, result: SearchResult) -> str:
    value = row.get(column)
    if kind == "trial":
        return identity({**row, "state": "done"})
    if kind == "state":
        return f"{value}: {row['reason']}" if row.get("reason") else str(value or "")
    return format_mean(row, column, result.kinds)
