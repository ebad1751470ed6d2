"""The front as a table for the terminal."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mtsearch.pareto.columns import Row, label, show
from mtsearch.pareto.outcome import Outcome
from mtsearch.reporting.tables import hypervolume_note, identity, result_columns


def front_table(found: Outcome) -> RenderableType:
    """The front (best of the first objective first, knee marked), the controls beneath, and a line
    on the hypervolume. Print it with rich.
    """
    columns = result_columns(found)
    table = Table(
        title="Pareto front", title_justify="left", header_style="bold", title_style="bold"
    )
    table.add_column("trial", no_wrap=True)
    for column in columns:
        table.add_column(_head(label(column, found.kinds)), justify="right", no_wrap=True)
    for group in (found.front, found.controls):
        for row in group:
            style = "bold green" if row.get("knee") else ("" if row.get("front") else "cyan")
            table.add_row(
                Text(_name(row)), *(show(row.get(c), c, found.kinds) for c in columns), style=style
            )
        table.add_section()
    lines: list[RenderableType] = [table]
    if not found.front:
        why = (
            "no finished trial keeps the constraints"
            if found.states.get("done")
            else "no trial has finished"
        )
        lines = [Text(f"The front is empty: {why}."), *(lines if found.controls else [])]
    else:
        beneath = "; the controls stand below the line" if found.controls else ""
        lines.append(Text(f"★ the knee{beneath}. {hypervolume_note(found)}"))
    lost = [row for row in found.rows if row.get("state") == "failed"]
    if lost:
        shown = "; ".join(
            f"{_name(row).removesuffix(' (failed)')}: {row.get('reason') or 'no reason given'}"
            for row in lost[:3]
        )
        lines.append(
            Text(f"{len(lost)} failed: {shown}{'; ...' if len(lost) > 3 else ''}", style="red")
        )
    if stopped := found.states.get("stopped"):
        lines.append(Text(f"{stopped} stopped early, as others were better"))
    return Group(*lines)


def print_front(found: Outcome, console: Console | None = None) -> None:
    """Print `front_table`; where the output is no terminal its width is not cut."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=200)
    console.print(front_table(found))


def _head(words: str) -> str:
    name, _, split = words.removesuffix(" (%)").partition(", ")
    first, _, rest = name.partition(" ")
    unit = "%" if words.endswith(" (%)") else ""
    lines = [first, f"{rest} {unit}".strip(), split]
    return "\n".join(line for line in lines if line)


def _name(row: Row) -> str:
    return identity(row).removeprefix("control ")
