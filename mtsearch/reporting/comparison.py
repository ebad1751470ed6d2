"""One page for several runs: their fronts, their hypervolumes under one reference point, and the
rows that they have in common."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtsearch.config.errors import BadInput
from mtsearch.config.files import write_atomic
from mtsearch.config.text import printable
from mtsearch.pareto.columns import CONFIGURATION, Row, format_value, label, number
from mtsearch.pareto.dominance import objective_values
from mtsearch.pareto.front import Front
from mtsearch.pareto.reference import Reference
from mtsearch.pareto.result import SearchResult
from mtsearch.pareto.volume import hypervolume_series
from mtsearch.reporting.page import render, without_notes
from mtsearch.reporting.page_data import page_data
from mtsearch.reporting.page_table import page_columns

LETTERS = "ABCDEFGH"
MAX_RUNS = len(LETTERS)


@dataclass(frozen=True)
class ComparedRun:
    """A run of a comparison.

    Attributes:
        name: of its space.
        address: its folder or URL, as commands name it.
        result: its result.
        configuration: its YAML text.
        environment: its facts.
    """

    name: str
    address: str
    result: SearchResult
    configuration: str
    environment: Mapping[str, Any]


def write_comparison(path: Path, runs: Sequence[ComparedRun]) -> list[list[str]]:
    """Write the page of several runs, replaced in one step.

    Returns:
        The table of the runs: its heads, then a row per run.

    Raises:
        BadInput: the runs have different objectives, or are too many.
    """
    first = runs[0].result
    if len(runs) > MAX_RUNS:
        raise BadInput(f"`run` should be given at most {MAX_RUNS} times. Found {len(runs)}.")
    for run in runs[1:]:
        if run.result.objectives != first.objectives:
            found = ", ".join(o.metric for o in run.result.objectives)
            wanted = ", ".join(o.metric for o in first.objectives)
            raise BadInput(
                f"`run` should name runs with the same objectives. {printable(runs[0].address)} has"
                f" {wanted}; {printable(run.address)} has {found}. Compare them in two pages."
            )
    merged, origins = _merged(runs)
    reference = merged.front.reference
    series = [_series(run.result, reference, LETTERS[i]) for i, run in enumerate(runs)]
    table = _runs_table(runs, series)
    described = [
        {"name": LETTERS[i], "address": shlex.quote(printable(run.address))}
        for i, run in enumerate(runs)
    ]
    name = " and ".join(f"{LETTERS[i]}: {printable(run.name)}" for i, run in enumerate(runs))
    data = page_data(merged, name, page_columns(merged), described, origins, series)
    values = ", ".join(
        f"{label(o.metric, merged.kinds)} {v:.4g}"
        for o, v in zip(merged.objectives, reference.values, strict=True)
    )
    datasets = sorted({str(row["dataset"]) for row in merged.rows if row.get("dataset")})
    text = render(
        merged,
        data,
        name=name,
        description="",
        datasets=datasets,
        cards=[],
        empty="",
        notes=_notes(runs, datasets),
        hypervolume_note=f"One reference point for all runs: {values}.",
        configurations=[
            (LETTERS[i], without_notes(printable(run.configuration, lines=True)))
            for i, run in enumerate(runs)
        ],
        environments=[(LETTERS[i], run.environment) for i, run in enumerate(runs)],
        comparison={
            "tables": [
                {"title": "Runs", "heads": table[0], "rows": table[1:], "note": ""},
                *([pairs] if (pairs := _paired(runs)) is not None else []),
            ]
        },
    )
    write_atomic(path, text)
    return table


def _merged(runs: Sequence[ComparedRun]) -> tuple[SearchResult, list[dict[str, Any]]]:
    """All rows as one result, each on the front where it is on that of its run, and each row's run
    and trial."""
    found: list[tuple[Row, dict[str, Any]]] = []
    history: list[Row] = []
    for i, run in enumerate(runs):
        letter = LETTERS[i]
        for row in run.result.rows:
            name = f"{letter}:{row['trial']}"
            control = f"{letter}: {row['control']}" if row.get("control") else None
            found.append(
                (
                    {**row, "trial": name, "control": control},
                    {"run": i, "trial": str(row["trial"])},
                )
            )
        history += [
            {**entry, "trial": f"{letter}:{entry['trial']}"} for entry in run.result.history
        ]
    found.sort(key=lambda entry: entry[0].get("kind") == "control")
    rows = [row for row, _ in found]
    first = runs[0].result
    front: Front[int] = Front(first.objectives, (), first.kinds)
    done = [
        i
        for i, row in enumerate(rows)
        if row.get("state") == "done" and row.get("kind") == "search"
    ]
    front.extend(done, [rows[i] for i in done])
    kinds = {task: kind for run in runs for task, kind in run.result.kinds.items()}
    merged = replace(
        first, rows=rows, history=history, front=front, kinds=kinds, constraints=(), members={}
    )
    return merged, [origin for _, origin in found]


def _series(result: SearchResult, reference: Reference, letter: str) -> dict[str, Any]:
    """A run's hypervolume after each of its finished trials, under the common reference."""
    points = objective_values(result.counted, result.objectives)
    values = hypervolume_series(points, result.goals, reference.values) if len(points) else []
    box = reference.box
    return {
        "trials": [f"{letter}:{row['trial']}" for row in result.counted],
        "values": [float(f"{100 * v / box if box else v:.8g}") for v in values],
        "title": "hypervolume (% of the box)" if box else "hypervolume",
    }


def _runs_table(
    runs: Sequence[ComparedRun], series: Sequence[Mapping[str, Any]]
) -> list[list[str]]:
    objectives, kinds = runs[0].result.objectives, runs[0].result.kinds
    heads = ["run", "address", "finished", "front", series[0]["title"]]
    heads += [f"best {label(o.metric, kinds)}" for o in objectives]
    table = [heads]
    for i, run in enumerate(runs):
        result, values = run.result, series[i]["values"]
        best = []
        for o in objectives:
            column = [number(row, o.metric) for row in result.front_rows]
            value = (max if o.goal == "max" else min)(column, default=None)
            best.append(format_value(value, o.metric, kinds))
        table.append(
            [
                f"{LETTERS[i]}: {printable(run.name)}",
                printable(run.address),
                f"{result.states.get('done', 0)} of {len(result.search_rows)}",
                str(len(result.front_rows)),
                f"{values[-1]:.2f}" if values else format_value(None),
                *best,
            ]
        )
    return table


def _paired(runs: Sequence[ComparedRun]) -> dict[str, Any] | None:
    """The table of controls of the same name and of trials of the same configuration."""
    objectives, kinds = runs[0].result.objectives, runs[0].result.kinds
    lists = [{_identity(row): row for row in run.result.rows} for run in runs]
    common = [key for key in lists[0] if all(key in found for found in lists[1:])]
    done = [key for key in common if all(found[key].get("state") == "done" for found in lists)]
    if not done:
        return None
    heads = ["row"]
    for o in objectives:
        heads += [f"{label(o.metric, kinds)}, {LETTERS[i]}" for i in range(len(runs))]
        heads += [f"{LETTERS[i]} − A" for i in range(1, len(runs))]
    rows = []
    for key in done:
        names = [found[key].get("control") or found[key]["trial"] for found in lists]
        cells = [" / ".join(dict.fromkeys(map(str, names)))]
        for o in objectives:
            values = [number(found[key], o.metric) for found in lists]
            cells += [format_value(v, o.metric, kinds) for v in values]
            cells += [_signed(v - values[0], o.metric, kinds) for v in values[1:]]
        rows.append(cells)
    means = [f"mean of {len(done)}"]
    for o in objectives:
        columns = [[number(found[key], o.metric) for key in done] for found in lists]
        averages = [math.fsum(column) / len(column) for column in columns]
        means += [format_value(v, o.metric, kinds) for v in averages]
        means += [_signed(v - averages[0], o.metric, kinds) for v in averages[1:]]
    note = "Controls of the same name and trials of the same configuration; validation figures."
    return {"title": "Paired rows", "heads": heads, "rows": [*rows, means], "note": note}


def _signed(value: float, metric: str, kinds: Mapping[str, str]) -> str:
    text = format_value(value, metric, kinds)
    return f"+{text}" if value > 0 and not text.startswith("+") else text


def _identity(row: Row) -> tuple[Any, ...]:
    """What makes rows of two runs the same: the control's name, or all settings."""
    if row.get("control"):
        return ("control", row["control"])
    settings = sorted((k, repr(v)) for k, v in row.items() if k.startswith(CONFIGURATION))
    return ("trial", *settings)


def _notes(runs: Sequence[ComparedRun], datasets: Sequence[str]) -> list[str]:
    notes = ["Each trial is on the front where it is on the front of its own run."]
    if len(datasets) > 1:
        notes.append("The runs used different data: their figures do not compare.")
    return notes
