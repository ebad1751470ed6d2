"""The report: one page with the front, the curves, the table and the configuration, which opens
without a network."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

import mtsearch
from mtsearch.config.files import write_atomic
from mtsearch.config.text import printable
from mtsearch.pareto.result import SearchResult
from mtsearch.reporting.notes import hypervolume_note, result_notes
from mtsearch.reporting.page_data import page_data, script_json
from mtsearch.reporting.page_table import (
    cards,
    column_heads,
    page_columns,
    row_groups,
    table_columns,
    tabs,
)
from mtsearch.reporting.table_columns import column_notes


def write_report(
    path: Path,
    result: SearchResult,
    *,
    name: str,
    description: str = "",
    configuration: str = "",
    environment: Mapping[str, Any] | None = None,
    address: str = "",
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

    All text is escaped and has no control characters.
    """
    text = page(
        result,
        name=name,
        description=description,
        configuration=configuration,
        environment=environment or {},
        address=address,
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
) -> str:
    """The page as text; the arguments are those of `write_report`."""
    folder = resources.files("mtsearch.reporting") / "page_files"
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        (folder / "report.html").read_text("utf-8")
    )
    name = printable(name)
    columns = page_columns(result)
    names = table_columns(result, columns)
    datasets = sorted({str(row["dataset"]) for row in result.rows if row.get("dataset")})
    export = f"python -m mtsearch.export run={shlex.quote(printable(address))} pick=trial:"
    facts = {"export": export if address else None}
    return template.render(
        name=name,
        description=printable(description),
        datasets="; ".join(datasets),
        sample=any("embedded sample" in dataset for dataset in datasets),
        cards=cards(result),
        empty=_empty(result),
        tabs=tabs(result),
        columns=column_heads(result, names),
        groups=row_groups(result, names),
        notes=[*result_notes(result), *column_notes(result, result.rows, columns)],
        hypervolume_note=(
            hypervolume_note(result) if result.front_rows else "No finished trial yet."
        ),
        configuration=printable(configuration, lines=True),
        environment=[(printable(key), _fact(value)) for key, value in environment.items()],
        version=mtsearch.__version__,
        css=Markup((folder / "report.css").read_text("utf-8")),
        js=Markup((folder / "report.js").read_text("utf-8")),
        plotly=Markup(get_plotlyjs()),
        data=Markup(script_json(page_data(result, name, columns, facts))),
    )


def _empty(result: SearchResult) -> str:
    """Why there is no front; nothing where there is one."""
    if result.front_rows:
        return ""
    rule = "A trial is on the front when it is done and satisfies the constraints."
    return f"{result_notes(result)[0]} {rule}"


def _fact(value: Any) -> str:
    return printable(value if isinstance(value, str) else json.dumps(value, default=str))
