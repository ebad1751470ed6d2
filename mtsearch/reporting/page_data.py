"""The data that the script of the report page draws from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from mtsearch.pareto.columns import (
    CONFIGURATION,
    GROUPS,
    Row,
    column_order,
    format_value,
    groups_text,
    label,
    number,
    number_format,
)
from mtsearch.pareto.constraints import feasible
from mtsearch.pareto.result import SearchResult
from mtsearch.pareto.trial_names import trial_of
from mtsearch.reporting.notes import result_columns
from mtsearch.reporting.table_columns import TableColumns

CURVE_NUMBERS = 300_000  # of dominated trials in a page: about 2 MB

_IDENTITY = (
    "trial",
    "kind",
    "control",
    "state",
    "reason",
    "front",
    "knee",
    "dataset",
    "seed",
    "seeds",
    "confirmed",
    "not_better_than",
    "report",
    "phase",
    "epoch",
    "command",
)


def script_json(data: Any) -> str:
    """JSON in which no text can close the script element. Raises ValueError for a number that is
    not finite."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def page_data(
    result: SearchResult,
    name: str,
    columns: TableColumns,
    runs: Sequence[Mapping[str, Any]],
    origins: Sequence[Mapping[str, Any]] = (),
    hypervolumes: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The data of a page without numbers that are not finite.

    A row's values are in the order of `metrics`, its configuration in that of `settings`, and its
    command continues `command`: with a name for each value the page would be twice as large.

    Args:
        result: of the search.
        name: of the space.
        columns: of the page's table.
        runs: of each run its `name` and its `address` as the commands name it.
        origins: of each row its run's index and its trial's name there; none for one run.
        hypervolumes: one series per run, by default the result's.
    """
    metrics = _finite_metrics(result.rows, result.metrics)
    validated = [m for m in result.metrics if m.startswith("val/")]
    curves = _finite_metrics(result.history, validated)
    axes = [*result.metrics, *(m for m in metrics if m not in result.metrics)]
    settings = list(dict.fromkeys([*result.varied, *columns.settings, *columns.omitted]))
    command = _common_start([str(r["command"]) for r in result.rows if r.get("command")])
    return {
        "name": name,
        "objectives": _objectives(result),
        "axes": axes,
        "results": result_columns(result),
        "measures": [m for m in columns.measures if m in metrics],
        "varied": result.varied,
        "settings": settings,
        "columns": columns.settings,
        "metrics": metrics,
        "formats": [number_format(m, result.kinds) for m in metrics],
        "curves": curves,
        "labels": {m: label(m, result.kinds) for m in sorted({*axes, *curves})},
        "command": command,
        "rows": [
            {**row, **origin}
            for row, origin in zip(
                _rows(result, metrics, settings, len(command)),
                origins or [{}] * len(result.rows),
                strict=True,
            )
        ],
        "history": _history(result, curves),
        "hypervolumes": list(hypervolumes or [hypervolume_data(result)]),
        "runs": list(runs),
    }


def _common_start(texts: Sequence[str]) -> str:
    """The longest text that all of them begin with."""
    low, high = min(texts, default=""), max(texts, default="")
    equal = (i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b)
    return low[: next(equal, min(len(low), len(high)))]


def _objectives(result: SearchResult) -> list[dict[str, str]]:
    """Metric, goal and the shortest name that `pick=preference:` knows the objective by."""
    found = []
    for objective in result.objectives:
        parts = objective.metric.split("/")
        short = [*([parts[1]] if len(parts) == 3 else []), parts[-1]]
        others = [o.metric for o in result.objectives if o is not objective]
        taken = {word for metric in others for word in _names(metric)}
        name = next((word for word in short if word not in taken), objective.metric)
        found.append({"metric": objective.metric, "goal": objective.goal, "name": name})
    return found


def _names(metric: str) -> set[str]:
    parts = metric.split("/")
    return {metric, parts[-1], *([parts[1]] if len(parts) == 3 else [])}


def _finite_metrics(rows: Sequence[Row], first: Sequence[str]) -> list[str]:
    """The metrics that some row has as a finite number, `first` before the others."""
    names = [
        c
        for c in column_order(rows, first)
        if c not in _IDENTITY and not c.startswith((CONFIGURATION, "ci95/", "diff/"))
    ]
    ordered = [*first, *(c for c in names if c not in first)]
    return [c for c in ordered if any(math.isfinite(number(row, c)) for row in rows)]


def _rows(
    result: SearchResult, metrics: Sequence[str], settings: Sequence[str], prefix: int
) -> list[dict[str, Any]]:
    satisfied = feasible(result.rows, result.constraints)
    found = []
    for row, inside in zip(result.rows, satisfied, strict=True):
        control = row.get("kind") == "control"
        entry: dict[str, Any] = {
            "id": str(row.get("trial")),
            "state": str(row.get("state")),
            "values": [_value(row, m) for m in metrics],
            "config": [_setting(row.get(key), key) for key in settings],
        }
        optional = {
            "name": str(row["control"]) if control and row.get("control") else None,
            "kind": "control" if control else None,
            "reason": row.get("reason"),
            "front": row["front"],
            "knee": row["knee"],
            "infeasible": not inside,
            "intervals": _intervals(row, metrics) or None,
            "seeds": row.get("seeds") if row.get("seeds", 1) > 1 else None,
            "not_better": row.get("not_better_than"),
            "command": str(row["command"])[prefix:] if row.get("command") else None,
        }
        found.append(entry | {k: v for k, v in optional.items() if v not in (None, False)})
    return found


def _intervals(row: Row, metrics: Sequence[str]) -> dict[str, float]:
    """Half the width of the 95 % interval by the metric's place in `metrics`."""
    found = {str(i): number(row, f"ci95/{metric}") for i, metric in enumerate(metrics)}
    return {i: float(f"{half:.6g}") for i, half in found.items() if math.isfinite(half)}


def _value(row: Row, metric: str) -> Any:
    """A number, None for nothing, the text for what is no finite number."""
    value = number(row, metric)
    if math.isfinite(value):
        given = row[metric]
        return given if isinstance(given, int) and abs(given) < 2**53 else value
    text = format_value(row.get(metric), metric)
    return None if text == format_value(None) else text


def _history(result: SearchResult, curves: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
    """The curves of each trial. Those of trials that are not on the front are thinned to an equal
    number of reports where they would have more than `CURVE_NUMBERS` numbers together."""
    reports: dict[str, list[Row]] = {}
    # without repeats by other seeds; the curve of a point is that of its trial
    names = {trial_of(str(row.get("trial"))) for row in result.rows}
    for entry in result.history:
        if (trial := str(entry.get("trial"))) in names:
            reports.setdefault(trial, []).append(entry)
    kept = _whole_curves(result)
    others = sum(len(entries) for trial, entries in reports.items() if trial not in kept)
    columns = ("report", "epoch", *curves)
    most = max(len(result.history), 2)
    if others * len(columns) > CURVE_NUMBERS:
        most = max(2, CURVE_NUMBERS // (len(columns) * max(len(reports) - len(kept), 1)))
    found: dict[str, dict[str, list[Any]]] = {}
    for trial, entries in reports.items():
        chosen = entries if trial in kept else _thinned(entries, most)
        found[trial] = {
            c: [
                _finite(e.get(c)) if c in ("report", "epoch") else _six_digits(number(e, c))
                for e in chosen
            ]
            for c in columns
        }
    return found


def _whole_curves(result: SearchResult) -> set[str]:
    """The trials whose curves are not thinned: controls, and those with a row on the front."""
    rows = [row for row in result.rows if row["front"] or row.get("kind") == "control"]
    return {trial_of(str(row.get("trial"))) for row in rows}


def _thinned(entries: list[Row], most: int) -> list[Row]:
    """At most `most` of the entries, the first and the last among them, at equal distances."""
    count = len(entries)
    if count <= most:
        return entries
    return [entries[round(i * (count - 1) / (most - 1))] for i in range(most)]


def thinning_note(result: SearchResult, data: Mapping[str, Any]) -> str:
    """What the page leaves out of the curves; nothing where it leaves out nothing."""
    kept = sum(len(lines["report"]) for lines in data["history"].values())
    if kept == sum(str(entry.get("trial")) in data["history"] for entry in result.history):
        return ""
    whole = _whole_curves(result)
    curves = data["history"].items()
    most = max(len(lines["report"]) for trial, lines in curves if trial not in whole)
    return (
        f"Trials that are not on the front are drawn with at most {most} of their reports;"
        " `history.parquet` has all."
    )


def counted_word(result: SearchResult) -> str:
    """What the trials that count towards the front are: finished, or confirmed by more seeds."""
    return "finished" if len(result.counted) == len(result.eligible) else "confirmed"


def hypervolume_data(result: SearchResult) -> dict[str, Any]:
    """The hypervolume after each finished trial."""
    box = result.front.reference.box
    return {
        "trials": [str(row["trial"]) for row in result.counted],
        "values": [float(f"{100 * v / box if box else v:.8g}") for v in result.hypervolumes],
        "title": "hypervolume (% of the box)" if box else "hypervolume",
        "counted": f"{counted_word(result)} trials, by number",
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _six_digits(value: float) -> float | None:
    """A point of a curve; a plot resolves no more digits."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _setting(value: Any, key: str) -> Any:
    if key == GROUPS and value is not None:
        return groups_text(value)
    if value is None or isinstance(value, bool | str):
        return str(value).lower() if isinstance(value, bool) else value
    return _finite(value) if isinstance(value, int | float) else str(value)
