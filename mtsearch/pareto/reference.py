"""A reference result: the folder `results/reference/<space>/` that a repository keeps of a real run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtsearch.config.schema import SpaceConfig
from mtsearch.pareto.columns import Row, label, number, show
from mtsearch.pareto.files import replacing
from mtsearch.pareto.outcome import Outcome
from mtsearch.pareto.plots import write_front
from mtsearch.pareto.tables import identity, notes, result_columns, write_csv

_MEASURES = ("model/sparsity_rate", "model/compression_rate", "model/parameter_sharing", "model/params", "model/macs")


def write_reference(
    directory: str | Path, found: Outcome, config: SpaceConfig, environment: Mapping[str, Any], *, configuration: str, command: str
) -> None:
    """Write `README.md`, `config.yaml`, `front.csv`, `trials.csv` and `front.png`; nothing in them names a machine or a path of it.

    `configuration` is the resolved YAML and `command` the line that makes the run again, both with the data root written as DATA.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "front.csv", found)
    write_csv(folder / "trials.csv", found, found.rows)
    write_front(folder / "front.png", found)
    for name, text in (("config.yaml", configuration), ("README.md", page(found, config, environment, command))):
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def page(found: Outcome, config: SpaceConfig, environment: Mapping[str, Any], command: str) -> str:
    """The Markdown page: command, budget, machine, front, all trials, and what the space says about them."""
    versions = ", ".join(
        f"{name} {environment[name]}" for name in ("mtsearch", "python", "torch", "ray", "optuna") if environment.get(name)
    )
    parts = [
        f"# {config.name}: a reference result",
        config.description,
        f"```bash\n{command}\n```",
        f"- Data: {environment.get('dataset')}" + (f", the first {config.data.limit:,} training images" if config.data.limit else "") + ".",
        f"- Machine: {environment.get('cores')} cores ({environment.get('machine')}), {show(_total(found))} s of training; {versions}.",
        *(f"- {note}" for note in notes(found) if not note.startswith("Data:")),
        "\n![front](front.png)\n\n## Front and controls\n",
        front_table(found),
    ]
    if config.notes:
        parts.append(f"\n## Notes\n\n{config.notes.strip()}\n")
    parts.append("\n## All trials\n\nThe test split is read for the front and the controls only.\n")
    parts.append(_table(found, found.rows, [*found.varied]))
    files = "`front.csv` and `trials.csv` hold every column and the command that trains a row again; `config.yaml` is the configuration."
    parts.append(f"\n{files}")
    return "\n".join(parts).replace("\n- ", "\n\n- ", 1) + "\n"


def front_table(found: Outcome) -> str:
    """The front and the controls with their measures, as a Markdown table."""
    return _table(found, [*found.front, *found.controls], [c for c in found.varied if c.endswith((".name", ".mode", ".method", ".target"))])


def _table(found: Outcome, rows: Sequence[Row], configuration: Sequence[str]) -> str:
    measured = [c for c in _MEASURES if c not in found.metrics and any(number(row, c) == number(row, c) for row in rows)]
    columns = [*result_columns(found), *measured, "epoch"]
    heads = ["trial", *(label(c, found.kinds) for c in columns), *(c.removeprefix("trial.") for c in configuration)]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" + "---:|" * len(columns) + "---|" * len(configuration)]
    for row in rows:
        cells = [identity(row), *(show(row.get(c), c, found.kinds) for c in columns), *(show(row.get(c), c) for c in configuration)]
        lines.append("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _total(found: Outcome) -> float:
    return float(round(sum(number(row, "cost/seconds") for row in found.rows if number(row, "cost/seconds") > 0)))
