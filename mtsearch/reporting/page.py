"""The report: one page that holds the front, the curves, the table and the configuration, and opens
without a network."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

import mtsearch
from mtsearch.config.files import replacing
from mtsearch.pareto.columns import CONFIGURATION, Row, arranged, label, number, show
from mtsearch.pareto.constraints import feasible
from mtsearch.pareto.outcome import Outcome
from mtsearch.reporting import palette
from mtsearch.reporting.shown import SETTINGS, Shown, head, remarks, shown
from mtsearch.reporting.tables import hypervolume_note, identity, notes, result_columns

_ABOUT = (
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
_TEXT = ("state", "command")


def write_report(
    path: Path,
    found: Outcome,
    *,
    name: str,
    description: str = "",
    configuration: str = "",
    environment: Mapping[str, Any] | None = None,
) -> None:
    """Write the page, replaced in one step. `configuration` is the run's YAML text, `environment`
    its facts; all text is escaped."""
    with replacing(path) as temporary:
        temporary.write_text(
            page(
                found,
                name=name,
                description=description,
                configuration=configuration,
                environment=environment or {},
            ),
            "utf-8",
        )


def page(
    found: Outcome,
    *,
    name: str,
    description: str,
    configuration: str,
    environment: Mapping[str, Any],
) -> str:
    """The page as text."""
    folder = resources.files("mtsearch.reporting") / "page_files"
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        (folder / "report.html").read_text("utf-8")
    )
    columns = _columns(found)
    return template.render(
        name=name,
        description=description,
        datasets="; ".join(
            sorted({str(row["dataset"]) for row in found.rows if row.get("dataset")})
        ),
        cards=_cards(found),
        empty=(
            ""
            if found.front
            else notes(found)[0]
            + " A trial is on the front when it is done and keeps the constraints."
        ),
        tabs=_tabs(found),
        columns=[{"label": _head(c, found), "kind": _kind(c, found.rows)} for c in columns],
        groups=_groups(found, columns),
        notes=[*notes(found), *remarks(found, found.rows, _shown(found))],
        hypervolume_note=hypervolume_note(found) if found.front else "No finished trial yet.",
        configuration=configuration,
        environment=[
            (key, value if isinstance(value, str) else json.dumps(value, default=str))
            for key, value in environment.items()
        ],
        version=mtsearch.__version__,
        css=Markup((folder / "report.css").read_text("utf-8")),
        js=Markup((folder / "report.js").read_text("utf-8")),
        plotly=Markup(get_plotlyjs()),
        data=Markup(_json(_data(found, name))),
    )


def _json(data: Any) -> str:
    """JSON that no text in it can close the script element with."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _drawn(value: float) -> float | None:
    """A point of a curve: six digits, as a picture shows no more."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _metrics(rows: Sequence[Row], first: Sequence[str]) -> list[str]:
    """The metrics that some row has as a finite number, `first` before the others."""
    names = [
        c for c in arranged(rows, first) if c not in _ABOUT and not c.startswith(CONFIGURATION)
    ]
    ordered = [*first, *(c for c in names if c not in first)]
    return [c for c in ordered if any(math.isfinite(number(row, c)) for row in rows)]


def _data(found: Outcome, name: str) -> dict[str, Any]:
    """What the page's script draws from; nothing in it is not finite. A row's values and texts are
    in the order of `metrics`, its configuration in that of `settings`: names beside each would make
    half of the page."""
    metrics, curves = (
        _metrics(found.rows, found.metrics),
        _metrics(found.history, [m for m in found.metrics if m.startswith("val/")]),
    )
    axes = [*found.metrics, *(m for m in metrics if m not in found.metrics)]
    inside = feasible(found.rows, found.constraints)
    reference = found.reference
    history: dict[str, dict[str, list[Any]]] = {}
    for entry in found.history:
        lines = history.setdefault(
            str(entry.get("trial")), {c: [] for c in ("report", "epoch", *curves)}
        )
        for column, cells in lines.items():
            cells.append(
                _finite(entry.get(column))
                if column in ("report", "epoch")
                else _drawn(number(entry, column))
            )
    box = reference.box
    columns = _shown(found)
    settings = list(dict.fromkeys([*found.varied, *columns.settings, *columns.left]))
    return {
        "name": name,
        "objectives": [{"metric": o.metric, "goal": o.goal} for o in found.objectives],
        "axes": axes,
        "shown": result_columns(found),
        "varied": found.varied,
        "settings": settings,
        "metrics": metrics,
        "curves": curves,
        "labels": {m: label(m, found.kinds) for m in sorted({*axes, *curves})},
        "rows": [
            {
                "id": str(row.get("trial")),
                "name": str(
                    (row.get("control") if row.get("kind") == "control" else None)
                    or row.get("trial")
                ),
                "kind": row.get("kind", "search"),
                "state": str(row.get("state")),
                "reason": row.get("reason"),
                "front": row["front"],
                "knee": row["knee"],
                "feasible": bool(kept),
                "values": [_finite(number(row, m)) for m in metrics],
                "text": [show(row.get(m), m, found.kinds) for m in metrics],
                "config": [_plain(row.get(key)) for key in settings],
                "command": row.get("command"),
            }
            for row, kept in zip(found.rows, inside, strict=True)
        ],
        "history": history,
        "hypervolume": {
            "trials": [str(row["trial"]) for row in found.eligible],
            "values": [100 * v / box if box else v for v in found.hypervolumes],
            "title": "hypervolume (% of the box)" if box else "hypervolume",
        },
        "palette": {
            "front": palette.FRONT,
            "knee": palette.KNEE,
            "other": palette.OTHER,
            "controls": palette.CONTROLS,
            "symbols": palette.CONTROL_SYMBOLS,
            "solids": palette.CONTROL_SOLIDS,
        },
    }


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return str(value).lower() if isinstance(value, bool) else value
    return _finite(value) if isinstance(value, int | float) else str(value)


# ---------------------------------------------------------------- the parts that need no script


def _cards(found: Outcome) -> list[dict[str, str]]:
    finished = found.states.get("done", 0)
    others = ", ".join(
        f"{count} {state}" for state, count in sorted(found.states.items()) if state != "done"
    )
    cards = [
        {
            "title": "finished trials",
            "value": f"{finished} of {len(found.search)}",
            "note": others or "none failed",
        },
        {
            "title": "on the front",
            "value": str(len(found.front)),
            "note": f"over {len(found.objectives)} objectives",
        },
    ]
    if found.front:
        value, box = found.hypervolumes[-1], found.reference.box
        share = f"{100 * value / box:.2f} %" if box else f"{value:.4g}"
        cards.append(
            {
                "title": "hypervolume",
                "value": share,
                "note": "of the box to the ideal point" if box else "in the objectives' units",
            }
        )
    for objective in found.objectives:
        column = [(number(row, objective.metric), row) for row in found.front]
        if column:
            value, row = (max if objective.goal == "max" else min)(
                column, key=lambda entry: entry[0]
            )
            words = label(objective.metric, found.kinds)
            best = {
                "title": f"best {words}",
                "value": show(value, objective.metric, found.kinds),
                "note": f"trial {row['trial']}",
            }
            cards.append(best)
    gains = [
        (number(row, "delta_m"), row)
        for row in found.front
        if math.isfinite(number(row, "delta_m"))
    ]
    if gains:
        value, row = max(gains, key=lambda entry: entry[0])
        note = f"trial {row['trial']}, against {found.control}"
        cards.append({"title": "best Δm (%)", "value": show(value, "delta_m"), "note": note})
    return cards


def _tabs(found: Outcome) -> list[dict[str, Any]]:
    lost = sum(row.get("state") == "failed" for row in found.rows)
    every = [
        {
            "key": "front",
            "title": "front and controls",
            "count": len(found.front) + len(found.controls),
        },
        {"key": "all", "title": "all", "count": len(found.rows)},
        {"key": "failed", "title": "failed", "count": lost},
    ]
    return every if found.front else [every[1], every[2]]


def _shown(found: Outcome) -> Shown:
    return shown(found, found.rows, result_columns(found), SETTINGS + 2)


def _columns(found: Outcome) -> list[str]:
    columns = _shown(found)
    always = [
        c
        for c in ("model/params", "cost/seconds")
        if any(math.isfinite(number(row, c)) for row in found.rows)
    ]
    figures = dict.fromkeys([*result_columns(found), *always, *columns.measures])
    return ["trial", "state", *figures, *columns.settings, "command"]


def _head(column: str, found: Outcome) -> str:
    return (
        "train it again"
        if column == "command"
        else column
        if column in ("trial", *_TEXT)
        else head(column, found)
    )


def _kind(column: str, rows: Sequence[Row]) -> str:
    if column == "trial" or column in _TEXT:
        return column
    cells = [row.get(column) for row in rows if row.get(column) is not None]
    return (
        "number"
        if cells and all(isinstance(c, int | float) and not isinstance(c, bool) for c in cells)
        else "text"
    )


def _groups(found: Outcome, columns: Sequence[str]) -> list[dict[str, Any]]:
    kinds = {column: _kind(column, found.rows) for column in columns}

    def shown(row: Row) -> dict[str, Any]:
        cells = []
        for column in columns:
            value = row.get(column)
            if column == "trial":
                text, sort = identity({**row, "state": "done"}), str(value)
            elif column == "state" and row.get("reason"):
                text = sort = f"{value}: {row['reason']}"
            else:
                text = (
                    show(value, column, found.kinds)
                    if kinds[column] in ("number", "text")
                    else str(value or "")
                )
                sort = (
                    ""
                    if text in ("–", "")
                    else repr(float(value))  # type: ignore[arg-type]
                    if kinds[column] == "number"
                    else text
                )
            cells.append({"kind": kinds[column], "text": text, "sort": sort})
        style = ("knee " if row["knee"] else "") + (
            "front" if row["front"] else "control" if row.get("kind") == "control" else "rest"
        )
        return {
            "id": str(row.get("trial")),
            "front": str(row["front"]),
            "state": str(row.get("state")),
            "style": style,
            "cells": cells,
        }

    others = [row for row in found.search if not row["front"]]
    groups = [{"kind": "search", "rows": [shown(row) for row in [*found.front, *others]]}]
    if found.controls:
        groups.append({"kind": "controls", "rows": [shown(row) for row in found.controls]})
    return groups
