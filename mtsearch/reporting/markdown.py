"""Markdown tables of rows, and the text around them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from mtsearch.config.files import write_atomic
from mtsearch.config.schema import Objective
from mtsearch.pareto.columns import Row, format_mean, format_value, number
from mtsearch.pareto.result import SearchResult
from mtsearch.pareto.seeds import control_name
from mtsearch.reporting.notes import identity, result_notes, table_columns
from mtsearch.reporting.table_columns import MAX_SETTINGS, column_notes, heading, select_columns

_CODE = re.compile(r"(`[^`]*`)")


def write_markdown(path: Path, result: SearchResult) -> None:
    """Write the front and the controls as a Markdown table with a command per row."""
    rows = [*result.front_rows, *result.control_rows]
    lines = [markdown_table(result, rows, command=True), ""]
    if compared := control_differences(result):
        lines += ["Differences to the controls, paired by seed:", "", compared, ""]
    lines += [f"- {escape(note)}" for note in result_notes(result)]
    write_atomic(path, "\n".join(lines) + "\n")


def markdown_table(
    result: SearchResult,
    rows: Sequence[Row],
    *,
    max_settings: int = MAX_SETTINGS,
    command: bool = False,
) -> str:
    """Rows as a Markdown table of their results and what else differs between them; lines below it
    name the columns that it omits. With `command` the last column has the command that trains the
    row again."""
    results = table_columns(result)
    columns = select_columns(result, rows, results, max_settings)
    figures = [*results, *columns.measures]
    heads = [
        "trial",
        *(heading(c, result) for c in [*figures, *columns.settings]),
        *(["train it again"] if command else []),
    ]
    lines = [
        _line([_cell(text) for text in heads]),
        "|" + "---|" + "---:|" * len(figures) + "---|" * (len(columns.settings) + command),
    ]
    for row in rows:
        values = [format_mean(row, c, result.kinds) for c in [*figures, *columns.settings]]
        cells = [_cell(text) for text in [identity(row), *values]]
        if command:
            cells.append(_code(str(row.get("command") or "")))
        lines.append(_line(cells))
    notes = column_notes(result, rows, columns)
    return "\n".join([*lines, *(f"\n{escape(note)}" for note in notes)])


def control_differences(result: SearchResult) -> str:
    """The mean difference of each front point to each control in each objective, paired by seed,
    with its 95 % interval, as a Markdown table; empty with one seed. What is better beyond noise
    is bold."""
    names = [control_name(row) for row in result.control_rows]
    pairs = [
        (row, name)
        for row in result.front_rows
        for name in names
        if any(f"diff/{name}/{metric}" in row for metric in result.metrics)
    ]
    if not pairs:
        return ""
    heads = ["trial", "minus control", *(heading(m, result) for m in result.metrics)]
    lines = [_line([_cell(text) for text in heads]), "|---|---|" + "---:|" * len(result.metrics)]
    for row, name in pairs:
        cells = [_difference(row, f"diff/{name}/{o.metric}", o, result) for o in result.objectives]
        lines.append(_line([_cell(identity(row)), _cell(name), *cells]))
    return "\n".join(lines)


def _difference(row: Row, column: str, objective: Objective, result: SearchResult) -> str:
    mean, half = number(row, column), number(row, f"ci95/{column}")
    if not math.isfinite(mean):
        return format_value(None)
    sizes = [format_value(v, objective.metric, result.kinds) for v in (abs(mean), half)]
    zero = not any(digit in "123456789" for digit in sizes[0])  # as printed
    sign = "" if zero else "+" if mean > 0 else "−"
    text = f"{sign}{sizes[0]} ± {sizes[1]}"
    better = (-mean if objective.goal == "max" else mean) + half < 0
    return f"**{text}**" if better else text


def escape(text: str) -> str:
    """Text in which Markdown finds no HTML and no links; text in backticks is code and stays as
    it is."""
    parts = _CODE.split(text)
    return "".join(
        part if index % 2 else part.replace("&", "&amp;").replace("<", "&lt;").replace("](", "]\\(")
        for index, part in enumerate(parts)
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(text: str) -> str:
    return escape(" ".join(text.split())).replace("|", "\\|")


def _code(text: str) -> str:
    """A cell of code, between more backticks than the text has in a row."""
    if not text:
        return ""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if "`" in text else ""
    return fence + space + " ".join(text.split()).replace("|", "\\|") + space + fence
