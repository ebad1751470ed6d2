"""A reference result: the folder `results/reference/<space>/` of a real run, which the
repository contains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mtsearch.config.files import write_atomic
from mtsearch.config.schema import SpaceConfig
from mtsearch.config.text import printable
from mtsearch.pareto.columns import format_value, number
from mtsearch.pareto.result import SearchResult
from mtsearch.reporting.markdown import control_differences, escape, markdown_table
from mtsearch.reporting.notes import result_notes
from mtsearch.reporting.plots import write_front
from mtsearch.reporting.table_columns import MAX_SETTINGS
from mtsearch.reporting.tables import write_csv
from mtsearch.reporting.verdict import verdict


def write_reference(
    directory: str | Path,
    result: SearchResult,
    config: SpaceConfig,
    environment: Mapping[str, Any],
    *,
    configuration: str,
    command: str,
) -> None:
    """Write `README.md`, `config.yaml`, `front.csv`, `trials.csv` and `front.png`; nothing in them
    names a machine or a path of it.

    `configuration` is the resolved YAML and `command` the line that makes the run again, both with
    the data root written as DATA.
    """
    result = replace(result, notes=printable(config.notes or "", lines=True))
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "front.csv", result)
    write_csv(folder / "trials.csv", result, result.rows)
    write_front(folder / "front.png", result)
    for name, text in (
        ("config.yaml", configuration),
        ("README.md", page(result, config, environment, command)),
    ):
        write_atomic(folder / name, text)


def page(
    result: SearchResult, config: SpaceConfig, environment: Mapping[str, Any], command: str
) -> str:
    """The Markdown page: command, budget, machine, front, all trials, and what the space says about
    them."""
    versions = ", ".join(
        f"{name} {environment[name]}"
        for name in ("mtsearch", "python", "torch", "ray", "optuna")
        if environment.get(name)
    )
    parts = [
        f"# {config.name}: a reference result\n\n**{escape(verdict(result))}**\n",
        escape(printable(config.description, lines=True)),
        f"```bash\n{command}\n```",
        f"- Data: {environment.get('dataset')}.",
        (
            f"- Machine: {environment.get('cores')} cores ({environment.get('machine')}),"
            f" {format_value(_total(result))} s of training; {versions}"
            f"{f', commit {commit}' if (commit := environment.get('commit')) else ''}."
        ),
        *(f"- {escape(note)}" for note in result_notes(result) if not note.startswith("Data:")),
        "\n![front](front.png)\n\n## Front and controls\n",
        front_table(result),
    ]
    if compared := control_differences(result):
        parts.append(f"\n## Differences to the controls, paired by seed\n\n{compared}\n")
    if result.notes:
        parts.append(f"\n## Notes\n\n{escape(result.notes.strip())}\n")
    parts.append("\n## All trials\n\nThe test split is read for the front and the controls only.\n")
    parts.append(markdown_table(result, result.rows, max_settings=MAX_SETTINGS + 2))
    files = (
        "`front.csv` and `trials.csv` have every column and the command that trains a row again;"
        " `config.yaml` is the configuration."
    )
    parts.append(f"\n{files}")
    return "\n".join(parts).replace("\n- ", "\n\n- ", 1) + "\n"


def front_table(result: SearchResult) -> str:
    """The front and the controls with what differs between them, as a Markdown table."""
    return markdown_table(result, [*result.front_rows, *result.control_rows])


def _total(result: SearchResult) -> float:
    return float(
        round(
            sum(
                number(row, "cost/seconds")
                for group in result.members.values()
                for row in group
                if number(row, "cost/seconds") > 0
            )
        )
    )
