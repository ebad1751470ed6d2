"""Everything that a run directory shows: tables, picture and page in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtsearch.config.schema import SpaceConfig
from mtsearch.pareto.columns import Row
from mtsearch.pareto.outcome import Outcome, outcome
from mtsearch.reporting.tables import write_csv, write_markdown, write_parquet

FORMATS = ("parquet", "csv", "md", "png", "html")


def publish(
    directory: str | Path,
    rows: Sequence[Row],
    history: Sequence[Row],
    config: SpaceConfig,
    environment: Mapping[str, Any],
    *,
    configuration: str,
    formats: Sequence[str] = FORMATS,
) -> Outcome:
    """Write the tables, `front.png` and `report.html` of a run into its directory, each replaced in
    one step, and return the outcome.

    `environment` are the run's facts; its entry ``tasks`` (kind by task name) says which errors are
    percentages. `configuration` is the YAML text that the page quotes. `formats` limits what is
    written.
    """
    folder = Path(directory)
    found = outcome(
        rows,
        history,
        config.objectives,
        config.constraints,
        control=config.delta_m,
        kinds=environment.get("tasks"),
        notes=config.notes or "",
    )
    if "parquet" in formats:
        write_parquet(folder, found)
    if "csv" in formats:
        write_csv(folder / "front.csv", found)
    if "md" in formats:
        write_markdown(folder / "front.md", found)
    if "png" in formats:
        from mtsearch.reporting.plots import write_front  # matplotlib takes a second to import

        write_front(folder / "front.png", found)
    if "html" in formats:
        from mtsearch.reporting.page import write_report

        write_report(
            folder / "report.html",
            found,
            name=config.name,
            description=config.description,
            configuration=configuration,
            environment=environment,
        )
    return found
