"""The tables of a run: trials, history and front as Parquet, the front as CSV and Markdown too."""

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
from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto.columns import Kinds, Row, arranged, label, number, show
from mtsearch.pareto.outcome import Outcome, outcome
from mtsearch.reporting.shown import SETTINGS, head, remarks, shown

_REPORTS = ("trial", "report", "phase", "epoch")


def derive(
    directory: str | Path,
    rows: Sequence[Row],
    history: Sequence[Row],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint] = (),
    *,
    control: str | None = "stl",
    kinds: Kinds | None = None,
    notes: str = "",
) -> Outcome:
    """Write `trials.parquet`, `history.parquet`, `front.parquet`, `front.csv` and `front.md` into a
    run directory, each replaced in one step.

    Returns the outcome, which `plots.write_front` and `report.write_report` take. `control`,
    `kinds` and `notes` as in `outcome`.
    """
    found = outcome(
        rows, history, objectives, constraints, control=control, kinds=kinds, notes=notes
    )
    folder = Path(directory)
    write_parquet(folder, found)
    write_csv(folder / "front.csv", found)
    write_markdown(folder / "front.md", found)
    return found


def write_parquet(directory: Path, found: Outcome) -> None:
    """Write `trials.parquet` (a row a trial), `history.parquet` (a row a report) and
    `front.parquet`."""
    columns = arranged(found.rows, found.metrics)
    _parquet(directory / "trials.parquet", found.rows, columns)
    _parquet(
        directory / "history.parquet",
        found.history,
        list(dict.fromkeys([*_REPORTS, *arranged(found.history)])),
    )
    _parquet(directory / "front.parquet", found.front, columns)


def write_csv(path: Path, found: Outcome, rows: Sequence[Row] | None = None) -> None:
    """The rows (the front and, below it, the controls) with every column that the run has; all
    digits, nothing as an empty cell."""
    columns = arranged(found.rows, found.metrics)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(
            [_cell(row.get(column)) for column in columns]
            for row in ([*found.front, *found.controls] if rows is None else rows)
        )


def write_markdown(path: Path, found: Outcome) -> None:
    """The front and the controls as a Markdown table with a command per row."""
    rows = [*found.front, *found.controls]
    text = (
        markdown(found, rows, command=True)
        + "\n"
        + "".join(f"\n- {note}" for note in notes(found))
        + "\n"
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def markdown(
    found: Outcome, rows: Sequence[Row], *, room: int = SETTINGS, command: bool = False
) -> str:
    """Rows as a Markdown table of their results and what else differs between them, with what it
    leaves out beneath it. `room` is for settings; with `command` the last column trains a row
    again."""
    results = result_columns(found)
    columns = shown(found, rows, results, room)
    figures = [*results, *columns.measures]
    heads = [
        "trial",
        *(head(c, found) for c in [*figures, *columns.settings]),
        *(["train it again"] if command else []),
    ]
    lines = [
        _line(heads),
        "|" + "---|" + "---:|" * len(figures) + "---|" * (len(columns.settings) + command),
    ]
    for row in rows:
        cells = [
            identity(row),
            *(show(row.get(c), c, found.kinds) for c in [*figures, *columns.settings]),
        ]
        again = f"`{_escaped(str(row['command']))}`" if row.get("command") else ""
        lines.append(_line(cells, *([again] if command else [])))
    return "\n".join([*lines, *(f"\n{remark}" for remark in remarks(found, rows, columns))])


def result_columns(found: Outcome) -> list[str]:
    """The metric columns of a front table: the objectives, their tested twins and Delta-m, as far
    as a shown row has them."""
    tested = [
        f"test/{metric.removeprefix('val/')}"
        for metric in found.metrics
        if metric.startswith("val/")
    ]
    shown = [*found.front, *found.controls]
    return found.metrics + [
        c
        for c in [*tested, "delta_m", "test/delta_m"]
        if any(not math.isnan(number(row, c)) for row in shown)
    ]


def identity(row: Row) -> str:
    """What a table calls a row: the trial, with a star for the knee, or the control's name (with
    its state when it is not done)."""
    name = (
        f"control {row.get('control') or row.get('trial')}"
        if row.get("kind") == "control"
        else f"{row.get('trial')}"
    )
    state = "" if row.get("state") == "done" else f" ({row.get('state')})"
    return f"{name}{' ★' if row.get('knee') else ''}{state}"


def notes(found: Outcome) -> list[str]:
    """What a reader must know to read the front's table, one sentence a line."""
    states = (
        ", ".join(f"{count} {state}" for state, count in sorted(found.states.items())) or "none"
    )
    lines = [
        f"{len(found.search)} search trial{'' if len(found.search) == 1 else 's'} ({states});"
        f" {len(found.front)} on the front."
    ]
    datasets = sorted({str(row["dataset"]) for row in found.rows if row.get("dataset")})
    if datasets:
        lines.append(f"Data: {'; '.join(datasets)}.")
    if found.constraints:
        bounds = [
            f"{label(c.metric, found.kinds)} {'≤' if c.max is not None else '≥'}"
            f" {show(c.max if c.max is not None else c.min)}"
            for c in found.constraints
        ]
        lines.append(f"Constraints: {'; '.join(bounds)}.")
    if found.front:
        lines.append(
            "★ is the knee: the front's point that bulges furthest towards the ideal after scaling"
            " each objective to [0, 1]."
        )
        lines.append(hypervolume_note(found))
    if any(row.get("delta_m") is not None for row in found.rows):
        lines.append(
            f"Δm is the mean over tasks of the relative gain over control {found.control} in"
            " percent, on 100 - error where the error is a percentage; positive is better."
        )
    elif any(
        row.get("control") == found.control and row.get("state") == "done" for row in found.controls
    ):
        lines.append(
            f"Δm is left out: control {found.control} has 0 for a task, of which no gain is a"
            " share, or no figure."
        )
    return lines


def hypervolume_note(found: Outcome) -> str:
    """The hypervolume with its reference point and where that comes from."""
    reference, value = found.reference, found.hypervolumes[-1]
    parts = [
        f"{label(o.metric, found.kinds)} {v:.4g}{'' if origin == 'metric' else f' ({origin})'}"
        for o, v, origin in zip(found.objectives, reference.values, reference.origins, strict=True)
    ]
    share = (
        f", {100 * value / reference.box:.2f} % of the box to the ideal point"
        if reference.box
        else ""
    )
    return f"Hypervolume {value:.6g}{share}; reference point: {', '.join(parts)}."


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return json.dumps(value) if isinstance(value, bool | list | tuple | dict) else value


def _line(cells: Sequence[str], *ready: str) -> str:
    return "| " + " | ".join([*map(_escaped, cells), *ready]) + " |"


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _parquet(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    table = pa.table({column: _array([row.get(column) for row in rows]) for column in columns})
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def _array(cells: list[Any]) -> pa.Array:
    filled = [c for c in cells if c is not None]
    if filled and all(isinstance(c, bool) for c in filled):
        return pa.array(cells, pa.bool_())
    if filled and all(
        isinstance(c, int) and not isinstance(c, bool) and -(2**63) <= c < 2**63 for c in filled
    ):
        return pa.array(cells, pa.int64())
    if filled and all(isinstance(c, int | float) and not isinstance(c, bool) for c in filled):
        return pa.array(
            [None if c is None else float(c) for c in cells], pa.float64(), from_pandas=False
        )
    return pa.array(
        [c if c is None or isinstance(c, str) else json.dumps(c, default=str) for c in cells],
        pa.string(),
    )
