"""The report: one page with the front, the curves, the table and the configuration, which opens
without a network."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

import mtsearch
from mtsearch.config.files import write_atomic
from mtsearch.config.text import printable
from mtsearch.pareto.columns import label
from mtsearch.pareto.result import SearchResult
from mtsearch.reporting.importance import importance_table
from mtsearch.reporting.insight import INSIGHT_PARTS, Insight, insight_of, page_insight
from mtsearch.reporting.notes import hypervolume_note, result_notes
from mtsearch.reporting.page_data import page_data, script_json, thinning_note
from mtsearch.reporting.page_predictions import logs_data, predictions_data
from mtsearch.reporting.page_table import (
    cards,
    column_heads,
    page_columns,
    table_columns,
    table_rows,
    tabs,
)
from mtsearch.reporting.palette import css_variables
from mtsearch.reporting.table_columns import column_notes

SCRIPTS = (
    "base.js",
    "axes.js",
    "plot_input.js",
    "plot.js",
    "front.js",
    "choose.js",
    "between.js",
    "detail.js",
    "predictions.js",
    "table.js",
    "parallel.js",
    "curves.js",
    "main.js",
)
"""The parts of the page's script in the order in which they are joined."""


def write_report(
    path: Path,
    result: SearchResult,
    *,
    name: str,
    description: str = "",
    configuration: str = "",
    environment: Mapping[str, Any] | None = None,
    address: str = "",
    timeline: Mapping[str, tuple[float, float]] | None = None,
    predictions: Mapping[str, Mapping[str, Any]] | None = None,
    logs: Mapping[str, str] | None = None,
    insight: Insight | None = None,
) -> None:
    """Write the page, replaced in one step.

    Args:
        path: of the page.
        result: what it presents.
        name: of the space.
        description: of the space.
        configuration: the run's YAML text.
        environment: the run's facts.
        address: the run's folder or URL, which the commands that export a model name; without it
            the page has none.
        timeline: when each trial began and ended, in seconds; without it the page has no timeline.
        predictions: of the tested trials, see `mtsearch.runs.attachments`.
        logs: the last lines of failed trials.
        insight: of the result, where it is known already.

    All text is escaped and has no control characters.
    """
    text = page(
        result,
        name=name,
        description=description,
        configuration=configuration,
        environment=environment or {},
        address=address,
        timeline=timeline,
        predictions=predictions,
        logs=logs,
        insight=insight,
    )
    write_atomic(path, text)


def page(
    result: SearchResult,
    *,
    name: str,
    description: str,
    configuration: str,
    environment: Mapping[str, Any],
    address: str = "",
    timeline: Mapping[str, tuple[float, float]] | None = None,
    predictions: Mapping[str, Mapping[str, Any]] | None = None,
    logs: Mapping[str, str] | None = None,
    insight: Insight | None = None,
) -> str:
    """The page as text; the arguments are those of `write_report`."""
    name = printable(name)
    insight = insight or insight_of(result)
    datasets = sorted({str(row["dataset"]) for row in result.rows if row.get("dataset")})
    sample = any("embedded sample" in dataset for dataset in datasets)
    configuration = printable(configuration, lines=True)
    columns = page_columns(result)
    quoted = shlex.quote(printable(address)) if address else None
    data = page_data(result, name, columns, [{"name": name, "address": quoted}])
    data["timeline"] = {
        trial: [round(began, 2), round(ended, 2)]
        for trial, (began, ended) in (timeline or {}).items()
    }
    data["predictions"] = predictions_data(result, predictions or {})
    data["logs"] = logs_data(result, logs or {})
    return render(
        result,
        data,
        name=name,
        description=printable(description),
        datasets=datasets,
        cards=cards(result),
        empty=_empty(result),
        notes=[*result_notes(result), *column_notes(result, result.rows, columns)],
        hypervolume_note=(
            hypervolume_note(result) if result.front_rows else "No finished trial yet."
        ),
        importance=importance_table(
            insight.importance, [label(m, result.kinds) for m in result.metrics]
        ),
        insight=page_insight(result, insight),
        configurations=[("", without_notes(configuration) if sample else configuration)],
        environments=[("", environment)],
    )


def render(
    result: SearchResult,
    data: Mapping[str, Any],
    *,
    datasets: Sequence[str],
    environments: Sequence[tuple[str, Mapping[str, Any]]],
    comparison: Mapping[str, Any] | None = None,
    importance: Mapping[str, Any] | None = None,
    insight: Mapping[str, Any] | None = None,
    **texts: Any,
) -> str:
    """The template with the style sheet, the script and its data; `texts` are its other entries."""
    folder = resources.files("mtsearch.reporting") / "page_files"
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["coded"] = _coded
    template = environment.from_string((folder / "report.html").read_text("utf-8"))
    css = css_variables() + (folder / "report.css").read_text("utf-8")
    parts = "\n".join((folder / part).read_text("utf-8") for part in SCRIPTS)
    js = f'(() => {{\n"use strict";\n{parts}}})();\n'
    names = table_columns(result, page_columns(result))
    return template.render(
        **texts,
        datasets="; ".join(datasets),
        sample=any("embedded sample" in dataset for dataset in datasets),
        comparison=comparison,
        importance=importance,
        insight=insight or dict.fromkeys(INSIGHT_PARTS),
        predictions=bool(data.get("predictions")),
        data_timeline=bool(data.get("timeline")),
        tabs=tabs(result),
        columns=column_heads(result, names),
        rows=table_rows(result, names),
        thinned=thinning_note(result, data),
        environments=[
            (title, [(printable(key), _fact(value)) for key, value in facts.items()])
            for title, facts in environments
        ],
        version=mtsearch.__version__,
        css=Markup(css),
        css_hash=_policy_hash(css),
        js=Markup(js),
        js_hash=_policy_hash(js),
        data=Markup(script_json(data)),
    )


def without_notes(configuration: str) -> str:
    """A space's YAML text without its top-level `notes`: on the embedded sample they would
    compare with figures of other data."""
    kept, inside = [], False
    for line in configuration.splitlines():
        if line and not line[0].isspace():
            inside = line.startswith("notes:")
        if not inside:
            kept.append(line)
    return "\n".join(kept)


def _policy_hash(text: str) -> str:
    """The source expression of the Content-Security-Policy that permits one inline element."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _empty(result: SearchResult) -> str:
    """Why there is no front; nothing where there is one."""
    if result.front_rows:
        return ""
    rule = "A trial is on the front when it is done and satisfies the constraints."
    return f"{result_notes(result)[0]} {rule}"


def _coded(text: str) -> Markup:
    """A note as HTML in which the words between back-ticks are code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _fact(value: Any) -> str:
    if isinstance(value, dict) and value and all(isinstance(v, str) for v in value.values()):
        value = ", ".join(f"{key}: {text}" for key, text in value.items())
    return printable(value if isinstance(value, str) else json.dumps(value, default=str))
