"""The tables of a run as files: trials, history and front as Parquet, the front as CSV too."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mtsearch.config.files import replacing
from mtsearch.config.text import printable
from mtsearch.pareto.columns import Row, column_order
from mtsearch.pareto.result import SearchResult

_REPORTS = ("trial", "report", "phase", "epoch")
_FORMULA = ("=", "+", "-", "@")


def write_parquet(directory: Path, result: SearchResult) -> None:
    """Write `trials.parquet` (a row per configuration), `history.parquet` (a row per report),
    `front.parquet` and, where a configuration has several seeds, `seeds.parquet` (a row per trained
    network), each replaced in one step."""
    columns = column_order(result.rows, result.metrics)
    write_rows(directory / "trials.parquet", result.rows, columns)
    reports = list(dict.fromkeys([*_REPORTS, *column_order(result.history)]))
    write_rows(directory / "history.parquet", result.history, reports)
    write_rows(directory / "front.parquet", result.front_rows, columns)
    if result.seeds > 1:
        rows = [row for group in result.members.values() for row in group]
        write_rows(directory / "seeds.parquet", rows, column_order(rows, result.metrics))


def write_csv(path: Path, result: SearchResult, rows: Sequence[Row] | None = None) -> None:
    """Write rows (by default the front, then the controls) with every column that the run has; all
    digits, nothing as an empty cell.

    Text that a spreadsheet would evaluate (it begins with ``=``, ``+``, ``-`` or ``@`` and is no
    number) gets a leading apostrophe.
    """
    rows = [*result.front_rows, *result.control_rows] if rows is None else rows
    columns = column_order(result.rows, result.metrics)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(_text, columns))
        writer.writerows([csv_cell(row.get(column)) for column in columns] for row in rows)


def csv_cell(value: Any) -> Any:
    """A value as a cell of a CSV file, which no spreadsheet evaluates."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool | list | tuple | dict):
        return json.dumps(value)
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    text = printable(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def write_rows(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Write columns of rows as a flat Parquet table."""
    table = pa.table({column: _array([row.get(column) for row in rows]) for column in columns})
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def _array(cells: list[Any]) -> pa.Array:
    """The cells as pyarrow infers them: numbers, booleans or text. Other columns (lists, mixed
    types) become JSON text, so that every run has flat columns."""
    if all(isinstance(c, int | float) and not isinstance(c, bool) for c in cells if c is not None):
        try:
            return _flat(pa.array(cells))
        except (pa.ArrowInvalid, OverflowError):  # a whole number beyond 64 bits or 53 bits
            return pa.array([None if c is None else float(c) for c in cells], pa.float64())
    try:
        array = pa.array(cells)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        array = None
    if array is None or pa.types.is_nested(array.type):
        return pa.array(
            [c if c is None or isinstance(c, str) else json.dumps(c, default=str) for c in cells],
            pa.string(),
        )
    return _flat(array)


def _flat(array: pa.Array) -> pa.Array:
    """An empty column is one of text."""
    return array.cast(pa.string()) if pa.types.is_null(array.type) else array
