"""The front as a table for the terminal."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mtsearch.pareto.columns import Row, format_mean, label
from mtsearch.pareto.result import SearchResult
from mtsearch.reporting.notes import hypervolume_note, identity, table_columns


def front_table(result: SearchResult) -> RenderableType:
    """The front (best of the first objective first, knee marked), the controls below it, and a line
    on the hypervolume. Print it with rich.
    """
    columns = table_columns(result)
    table = Table(
        title="Pareto front", title_justify="left", header_style="bold", title_style="bold"
    )
    table.add_column("trial", no_wrap=True)
    for column in columns:
        heading = Text(heading_lines(label(column, result.kinds)))
        table.add_column(heading, justify="right", no_wrap=True)
    for group in (result.front_rows, result.control_rows):
        for row in group:
            style = "bold green" if row.get("knee") else ("" if row.get("front") else "cyan")
            cells = [Text(format_mean(row, c, result.kinds)) for c in columns]
            table.add_row(Text(_name(row)), *cells, style=style)
        table.add_section()
    lines: list[RenderableType] = [table]
    if not result.front_rows:
        why = (
            "no finished trial satisfies the constraints"
            if result.states.get("done")
            else "no trial has finished"
        )
        lines = [Text(f"The front is empty: {why}."), *(lines if result.control_rows else [])]
    else:
        star = "★ is the knee. " if result.knee is not None else ""
        below = "The controls are below the line. " if result.control_rows else ""
        lines.append(Text(f"{star}{below}{hypervolume_note(result)}"))
    if failed := _failures(result):
        lines.append(failed)
    if stopped := result.states.get("stopped"):
        lines.append(Text(f"{stopped} stopped early, because others were better"))
    return Group(*lines)


def print_front(result: SearchResult, console: Console | None = None) -> None:
    """Print `front_table`; where the output is not a terminal it is 200 columns wide."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=200)
    console.print(front_table(result))


def _failures(result: SearchResult) -> Text | None:
    """The first three trials that failed, with their reasons."""
    failed = [row for row in result.rows if row.get("state") == "failed"]
    if not failed:
        return None
    reasons = "; ".join(
        f"{_name(row).removesuffix(' (failed)')}: {row.get('reason') or 'no reason given'}"
        for row in failed[:3]
    )
    return Text(f"{len(failed)} failed: {reasons}{'; ...' if len(failed) > 3 else ''}", style="red")


def heading_lines(words: str) -> str:
    """A label on up to three lines: task, metric with unit, split."""
    name, _, split = words.removesuffix(" (%)").partition(", ")
    first, _, rest = name.partition(" ")
    unit = "%" if words.endswith(" (%)") else ""
    lines = [first, f"{rest} {unit}".strip(), split]
    return "\n".join(line for line in lines if line)


def _name(row: Row) -> str:
    return identity(row).removeprefix("control ")
