"""The parts of the report page that need no script: the figures at the top and the table of
trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mtsearch.pareto.columns import Row, format_value, number
from mtsearch.pareto.result import SearchResult
from mtsearch.reporting.notes import identity, result_columns
from mtsearch.reporting.table_columns import MAX_SETTINGS, TableColumns, heading, select_columns

_TEXT = ("state", "command")


def cards(result: SearchResult) -> list[dict[str, str]]:
    """The figures at the top of the page: title, value and note each."""
    finished = result.states.get("done", 0)
    others = ", ".join(
        f"{count} {state}" for state, count in sorted(result.states.items()) if state != "done"
    )
    found = [
        _card(
            "finished trials", f"{finished} of {len(result.search_rows)}", others or "none failed"
        ),
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
                )
            )
    if best := _best(result.front_rows, "delta_m", "max"):
        value, row = best
        note = f"trial {row['trial']}, against {result.control}"
        found.append(_card("best Δm (%), validation", format_value(value, "delta_m"), note))
    return found


def validation_label(column: str, result: SearchResult) -> str:
    """The heading of a column; a figure of the validation split says so."""
    text = heading(column, result)
    if not (column.startswith("val/") or column == "delta_m"):
        return text
    words, bracket, unit = text.partition(" (")
    return f"{words}, validation{bracket}{unit}"


def _card(title: str, value: str, note: str) -> dict[str, str]:
    return {"title": title, "value": value, "note": note}


def _best(rows: Sequence[Row], metric: str, goal: str) -> tuple[float, Row] | None:
    column = [(number(row, metric), row) for row in rows if math.isfinite(number(row, metric))]
    if not column:
        return None
    return (max if goal == "max" else min)(column, key=lambda entry: entry[0])


def _test_note(row: Row, metric: str, result: SearchResult) -> str:
    """The trial, and its test figure of the same metric where it was tested."""
    tested = f"test/{metric.removeprefix('val/')}"
    if not metric.startswith("val/") or row.get(tested) is None:
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
    return ["trial", "state", *figures, *columns.settings, "command"]


def column_heads(result: SearchResult, columns: Sequence[str]) -> list[dict[str, str]]:
    """Label and kind of each column."""
    return [{"label": _head(c, result), "kind": _kind(c, result.rows)} for c in columns]


def row_groups(result: SearchResult, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of the table, search trials (the front first) and controls apart."""
    kinds = {column: _kind(column, result.rows) for column in columns}
    others = [row for row in result.search_rows if not row["front"]]
    groups = [("search", [*result.front_rows, *others]), ("controls", result.control_rows)]
    return [
        {"kind": kind, "rows": [_row(row, kinds, result) for row in rows]}
        for kind, rows in groups
        if rows or kind == "search"
    ]


def _head(column: str, result: SearchResult) -> str:
    if column == "command":
        return "train it again"
    return column if column in ("trial", *_TEXT) else validation_label(column, result)


def _kind(column: str, rows: Sequence[Row]) -> str:
    if column == "trial" or column in _TEXT:
        return column
    cells = [row.get(column) for row in rows if row.get(column) is not None]
    numeric = all(isinstance(c, int | float) and not isinstance(c, bool) for c in cells)
    return "number" if cells and numeric else "text"


def _row(row: Row, kinds: dict[str, str], result: SearchResult) -> dict[str, Any]:
    style = "front" if row["front"] else "control" if row.get("kind") == "control" else "rest"
    return {
        "id": str(row.get("trial")),
        "front": str(row["front"]),
        "state": str(row.get("state")),
        "style": f"knee {style}" if row["knee"] else style,
        "cells": [_table_cell(row, column, kind, result) for column, kind in kinds.items()],
    }


def _table_cell(row: Row, column: str, kind: str, result: SearchResult) -> dict[str, str]:
    """Kind, text and sort key of a cell."""
    value = row.get(column)
    if kind == "trial":
        text, key = identity({**row, "state": "done"}), str(value)
    elif kind == "state":
        text = key = f"{value}: {row['reason']}" if row.get("reason") else str(value or "")
    elif kind == "command":
        text = key = str(value or "")
    else:
        text = format_value(value, column, result.kinds)
        key = "" if text in ("–", "") else text
        if key and kind == "number":
            key = repr(number(row, column))
    return {"kind": kind, "text": text, "sort": key}
