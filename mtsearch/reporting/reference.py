"""A reference result: the folder `results/reference/<space>/` that a repository keeps of a real
run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mtsearch.config.files import replacing
from mtsearch.config.schema import SpaceConfig
from mtsearch.pareto.columns import number, show
from mtsearch.pareto.outcome import Outcome
from mtsearch.reporting.plots import write_front
from mtsearch.reporting.shown import SETTINGS
from mtsearch.reporting.tables import markdown, notes, write_csv


def write_reference(
    directory: str | Path,
    found: Outcome,
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
    found = replace(found, notes=config.notes or "")
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "front.csv", found)
    write_csv(folder / "trials.csv", found, found.rows)
    write_front(folder / "front.png", found)
    for name, text in (
        ("config.yaml", configuration),
        ("README.md", page(found, config, environment, command)),
    ):
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def page(found: Outcome, config: SpaceConfig, environment: Mapping[str, Any], command: str) -> str:
    """The Markdown page: command, budget, machine, front, all trials, and what the space says about
    them."""
    versions = ", ".join(
        f"{name} {environment[name]}"
        for name in ("mtsearch", "python", "torch", "ray", "optuna")
        if environment.get(name)
    )
    parts = [
        f"# {config.name}: a reference result",
        config.description,
        f"```bash\n{command}\n```",
        f"- Data: {environment.get('dataset')}.",
        (
            f"- Machine: {environment.get('cores')} cores ({environment.get('machine')}),"
            f" {show(_total(found))} s of training; {versions}."
        ),
        *(f"- {note}" for note in notes(found) if not note.startswith("Data:")),
        "\n![front](front.png)\n\n## Front and controls\n",
        front_table(found),
    ]
    if config.notes:
        parts.append(f"\n## Notes\n\n{config.notes.strip()}\n")
    parts.append("\n## All trials\n\nThe test split is read for the front and the controls only.\n")
    parts.append(markdown(found, found.rows, room=SETTINGS + 2))
    files = (
        "`front.csv` and `trials.csv` hold every column and the command that trains a row again;"
        " `config.yaml` is the configuration."
    )
    parts.append(f"\n{files}")
    return "\n".join(parts).replace("\n- ", "\n\n- ", 1) + "\n"


def front_table(found: Outcome) -> str:
    """The front and the controls with what differs between them, as a Markdown table."""
    return markdown(found, [*found.front, *found.controls])


def _total(found: Outcome) -> float:
    return float(
        round(
            sum(
                number(row, "cost/seconds") for row in found.rows if number(row, "cost/seconds") > 0
            )
        )
    )
