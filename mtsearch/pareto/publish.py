"""Everything that a run directory shows: tables, picture and page in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtsearch.config.schema import SpaceConfig
from mtsearch.pareto.columns import Row
from mtsearch.pareto.outcome import Outcome
from mtsearch.pareto.plots import write_front
from mtsearch.pareto.report import write_report
from mtsearch.pareto.tables import derive


def publish(
    directory: str | Path, rows: Sequence[Row], history: Sequence[Row], config: SpaceConfig, environment: Mapping[str, Any] | None = None
) -> Outcome:
    """Write the tables, `front.png` and `report.html` of a run into its directory, each replaced in one step, and return the outcome.

    `environment` are the run's facts; its entry ``tasks`` (kind by task name) says which errors are percentages. The page quotes the
    directory's ``config.yaml``.
    """
    directory, environment = Path(directory), environment or {}
    found = derive(directory, rows, history, config.objectives, config.constraints, control=config.delta_m, kinds=environment.get("tasks"))
    write_front(directory / "front.png", found)
    source = directory / "config.yaml"
    configuration = source.read_text("utf-8") if source.is_file() else ""
    write_report(
        directory / "report.html",
        found,
        name=config.name,
        description=config.description,
        configuration=configuration,
        environment=environment,
    )
    return found
