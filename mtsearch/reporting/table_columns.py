"""The columns of a table besides its results: columns that differ between its rows and those that
the notes name, up to a maximum."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mtsearch.pareto.columns import (
    CONFIGURATION,
    Row,
    column_order,
    format_value,
    label,
    number,
)
from mtsearch.pareto.result import SearchResult

MEASURES = (
    "model/sparsity_rate",
    "model/compression_rate",
    "model/parameter_sharing",
    "model/params",
    "model/nonzero",
    "model/macs",
    "population/transfers",
    "cost/steps",
    "cost/epochs",
    "epoch",
)
MAX_SETTINGS = 10  # more make a table too wide to read
_CHOICES = (".name", ".mode", ".method")


@dataclass(frozen=True)
class TableColumns:
    """Columns in the order of the table.

    Attributes:
        measures: figures of the models and their costs.
        settings: configuration columns.
        common: measures and searched settings that are the same in all rows; a line below the table
            gives them.
        omitted: settings that differ too but exceed the maximum.
    """

    measures: list[str]
    settings: list[str]
    common: list[str]
    omitted: list[str]


def select_columns(
    result: SearchResult,
    rows: Sequence[Row],
    results: Sequence[str],
    max_settings: int = MAX_SETTINGS,
) -> TableColumns:
    """The columns for a table of `rows`, controls among them, whose result columns are `results`.

    A measure has a column where it differs; one that the space's notes name in backticks always
    has, as has any other metric they name. Of the settings that differ at most `max_settings` have
    a column, in this order: those that the notes name, those that the search varied, those that
    only controls change; names of methods before their settings, and settings that fewer rows share
    before those that more rows share. A setting that some rows lack, with one value in the others,
    is omitted where another column of its block says which rows have it. A single row differs from
    nothing, so for one row all rows of the run are compared.
    """
    compared = rows if len(rows) > 1 else result.rows
    words = _quoted(result.notes)
    figures = [
        c
        for c in column_order(rows)
        if not c.startswith(CONFIGURATION) and any(math.isfinite(number(row, c)) for row in rows)
    ]
    named = [c for c in figures if c in words and c not in results and c not in MEASURES]
    usual = [c for c in MEASURES if c in figures and c not in results]
    measures = [c for c in usual if c in words or _differs(compared, c)] + named

    varied = set(result.varied)
    differing = [
        c for c in column_order(compared) if c.startswith(CONFIGURATION) and _differs(compared, c)
    ]
    implied = [c for c in differing if _implied(compared, c, differing)]
    ranked = sorted(
        (c for c in differing if c not in implied), key=lambda c: _rank(c, compared, words, varied)
    )
    settings = ranked[:max_settings]
    common = [c for c in usual if c not in measures] + [
        c for c in result.varied if c not in differing and _has(compared, c)
    ]
    return TableColumns(measures, settings, common, [c for c in differing if c not in settings])


def column_notes(result: SearchResult, rows: Sequence[Row], columns: TableColumns) -> list[str]:
    """The lines below a table about columns that it does not have."""
    lines = []
    if columns.common and rows:
        facts = [
            f"{_quoted_heading(c, result)} {format_value(_common(rows, c), c, result.kinds)}"
            for c in columns.common
        ]
        lines.append(f"The same in all rows: {', '.join(facts)}.")
    if columns.omitted:
        names = ", ".join(heading(c, result) for c in columns.omitted)
        lines.append(f"The rows also differ in {names}; `front.csv` has these columns.")
    return lines


def heading(column: str, result: SearchResult) -> str:
    """The heading of a column."""
    if column.startswith(CONFIGURATION):
        return column.removeprefix(CONFIGURATION)
    return label(column, result.kinds)


def _quoted_heading(column: str, result: SearchResult) -> str:
    text = heading(column, result)
    return f"`{text}`" if column.startswith(CONFIGURATION) else text


def _quoted(notes: str) -> set[str]:
    """The words in backticks, a setting without its value."""
    return {part.split(":")[0].strip() for part in re.findall(r"`([^`]+)`", notes)}


def _texts(rows: Sequence[Row], column: str) -> list[str]:
    return [format_value(row.get(column), column) for row in rows]


def _differs(rows: Sequence[Row], column: str) -> bool:
    """Whether the table would have two values; a missing setting counts as one, a missing figure
    does not."""
    texts = set(_texts(rows, column))
    return len(texts if column.startswith(CONFIGURATION) else texts - {format_value(None)}) > 1


def _has(rows: Sequence[Row], column: str) -> bool:
    return any(row.get(column) is not None for row in rows)


def _common(rows: Sequence[Row], column: str) -> object:
    return next((row[column] for row in rows if row.get(column) is not None), None)


def _implied(rows: Sequence[Row], column: str, differing: Sequence[str]) -> bool:
    """Whether the column has one value in all rows that have it at all, and another column of its
    block says which rows these are."""
    block = column.split(".")[1]
    others = [c for c in differing if c != column and c.split(".")[1] == block]
    named = any(
        c.endswith(_CHOICES) and column.startswith(c.rpartition(".")[0] + ".") for c in others
    )
    return _count(rows, column) == 1 and (named or any(_count(rows, c) > 1 for c in others))


def _count(rows: Sequence[Row], column: str) -> int:
    """The number of different values among the rows that have one."""
    return len(set(_texts(rows, column)) - {format_value(None)})


def _rank(
    column: str, rows: Sequence[Row], words: set[str], varied: set[str]
) -> tuple[bool, bool, bool, float, str]:
    path = column.removeprefix(CONFIGURATION)
    texts = _texts(rows, column)
    most = max(Counter(texts).values()) / len(texts)
    mentioned = bool({path, column, path.rpartition(".")[2]} & words)
    return not mentioned, column not in varied, not column.endswith(_CHOICES), most, column
