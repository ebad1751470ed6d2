"""All files that present a run: tables, plot and page in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtsearch.config.schema import SpaceConfig
from mtsearch.pareto.columns import Row
from mtsearch.pareto.result import SearchResult, search_result
from mtsearch.reporting.insight import insight_of, write_insight
from mtsearch.reporting.markdown import write_markdown
from mtsearch.reporting.tables import write_csv, write_parquet
from mtsearch.reporting.task_pairs import write_task_pairs
from mtsearch.runs.attachments import read_logs, read_predictions

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
    address: str = "",
    timeline: Mapping[str, tuple[float, float]] | None = None,
    ended: str | None = None,
) -> SearchResult:
    """Write the tables, `front.png` and `report.html` of a run into its directory, each replaced in
    one step.

    Args:
        directory: the run directory.
        rows: a dict per trial.
        history: a dict per report.
        config: the space, whose objectives, constraints, control and notes count.
        environment: the run's facts; its entry ``tasks`` (kind by task name) says which errors are
            percentages.
        configuration: the YAML text that the page quotes.
        formats: which of `FORMATS` are written.
        address: the run's folder or URL, for the export commands of the page.
        ended: which rule of `search.stop` has ended the search.
        timeline: when each trial began and ended, in seconds; without it the page has no timeline.

    Returns:
        The result that the files present.

    Raises:
        OSError: a file cannot be written.
    """
    folder = Path(directory)
    result = search_result(
        rows,
        history,
        config.objectives,
        config.constraints,
        control=config.delta_m,
        kinds=environment.get("tasks"),
        notes=config.notes or "",
        ended=ended,
    )
    insight = insight_of(result) if {"parquet", "html"} & set(formats) else None
    if "parquet" in formats and insight is not None:
        write_insight(folder, result, insight)
        write_parquet(folder, result)
        write_task_pairs(folder / "tasks.parquet", result)
    if "csv" in formats:
        write_csv(folder / "front.csv", result)
    if "md" in formats:
        write_markdown(folder / "front.md", result)
    if "png" in formats:
        from mtsearch.reporting.plots import write_front  # matplotlib takes a second to import

        write_front(folder / "front.png", result)
    if "html" in formats:
        from mtsearch.reporting.page import write_report

        write_report(
            folder / "report.html",
            result,
            name=config.name,
            description=config.description,
            configuration=configuration,
            environment=environment,
            address=address,
            timeline=timeline,
            predictions=read_predictions(folder),
            logs=read_logs(folder),
            insight=insight,
        )
    return result
