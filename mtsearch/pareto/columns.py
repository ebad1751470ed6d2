"""The columns of rows: reading numbers, labels of metrics, the order of columns, the format of
values."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mtsearch.config.metrics import AGGREGATES, TASK_METRICS, Metric, aggregate_metric, metric_of
from mtsearch.config.objectives import HEAD_COLUMNS
from mtsearch.config.text import printable

Row = dict[str, Any]
Kinds = Mapping[str, str]
"""The kind of each task by its name (`classification`, `segmentation`, `regression`)."""

CONFIGURATION = "trial."
GROUPS = f"{CONFIGURATION}groups"
_GROUPS = ("val/", "test/", "train/", "model/", "cost/", "ci95/", "diff/", CONFIGURATION)
_DECIMALS = {"density": 3, "loss": 4, "compression_rate": 2, "parameter_sharing": 3, "seconds": 1}
_SHORT = {
    "model/params": "parameters",
    "model/nonzero": "non-zero parameters",
    "model/trainable": "trainable parameters",
    "model/macs": "multiply-adds",
    "cost/seconds": "time",
    "cost/epochs": "epochs",
    "cost/search_seconds": "time of its search",
    "cost/search_steps": "steps of its search",
    "cost/search_epochs": "epochs of its search",
    "epoch": "selected epoch",
    "delta_m": "Δm",
    "val/delta_m": "Δm",
    "test/delta_m": "Δm, test",
}


def number(row: Mapping[str, Any], metric: str) -> float:
    """The value of a metric in a row; NaN where it is missing, null or no number."""
    value = row.get(metric)
    if isinstance(value, bool) or value is None:
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def metric_info(metric: str, kinds: Kinds | None = None) -> Metric:
    """Direction, unit and default reference of a metric. A task's `error` is a percentage unless
    `kinds` says that the task is a regression.
    """
    parts = metric.split("/")
    if is_aggregate(metric):
        return aggregate_metric((kinds or {}).values())
    if len(parts) == 3 and kinds and parts[1] in kinds:
        return TASK_METRICS.get(kinds[parts[1]], {}).get(parts[2], Metric("min"))
    return metric_of(metric)


def is_aggregate(metric: str) -> bool:
    """Whether a metric is one of `AGGREGATES` on a split, such as `val/mean/error`."""
    parts = metric.split("/")
    return len(parts) == 3 and parts[1] in AGGREGATES and parts[2] == "error"


def label(metric: str, kinds: Kinds | None = None) -> str:
    """A metric in words with its unit: `val/image/error` becomes ``image error (%)``,
    `test/image/error` ``image error, test (%)``, the `error` of a segmentation ``scene mIoU
    error``, as it is 100 minus a mean IoU, `val/mean/error` ``mean error (%)`` or ``mean relative
    error``."""
    unit = metric_info(metric, kinds).unit
    parts = metric.split("/", 3)
    if metric in _SHORT:
        words = _SHORT[metric]
    elif len(parts) >= 3:
        split, task, name = parts[:3]
        if (kinds or {}).get(task) == "segmentation" and name in ("error", "error_all"):
            name = f"mIoU {name}"
        if is_aggregate(metric) and not unit:
            name = f"relative {name}"
        words = f"{task} {name}" + (f" of {parts[3]}" if len(parts) == 4 else "")
        words += "" if split == "val" else f", {split}"
    else:
        words = parts[-1].removeprefix(CONFIGURATION)
    return words.replace("_", " ") + (f" ({unit})" if unit else "")


def format_value(value: Any, metric: str = "", kinds: Kinds | None = None) -> str:
    """A value as tables print it: percentages with two decimals, counts with thousands, other
    numbers with four digits; an en dash for nothing. Text loses its control characters.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        if isinstance(value, list | tuple):
            return printable(", ".join(map(str, value)))
        return printable(groups_text(value) if metric == GROUPS else str(value))
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else "-∞"
    last, setting = metric.rsplit("/", 1)[-1], metric.startswith(CONFIGURATION)
    if metric and not setting and metric_info(metric, kinds).unit == "%":
        return f"{value:+z.2f}" if metric.endswith("delta_m") else f"{value:z.2f}"
    if not setting and last in _DECIMALS:
        return f"{value:z.{_DECIMALS[last]}f}"
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return f"{int(value):,}" if metric.startswith(("model/", "cost/")) else str(int(value))
    return f"{value:.4g}"


def groups_text(value: Any) -> str:
    """Groups of tasks as a person reads them, from the text of the column `trial.groups`:
    ``[['a', 'b'], ['c']]`` becomes ``a + b | c``. Text of another form stays as it is."""
    try:
        groups = ast.literal_eval(value) if isinstance(value, str) else value
        return " | ".join(" + ".join(map(str, group)) for group in groups)
    except (ValueError, SyntaxError, TypeError):
        return str(value)


def number_format(metric: str, kinds: Kinds | None = None) -> dict[str, Any]:
    """The format of a metric's numbers in `format_value`, for programs that print them elsewhere:
    `decimals` and `sign` of a fixed format, `thousands` of whole numbers; the rest has four
    digits."""
    if metric_info(metric, kinds).unit == "%":
        return {"decimals": 2, "sign": metric.endswith("delta_m")}
    last = metric.rsplit("/", 1)[-1]
    if last in _DECIMALS:
        return {"decimals": _DECIMALS[last]}
    return {"thousands": metric.startswith(("model/", "cost/"))}


def format_mean(row: Mapping[str, Any], metric: str, kinds: Kinds | None = None) -> str:
    """The value of a metric in a row as tables print it, with half the width of its 95 % interval
    where the row has one: `12.30 ± 0.45`."""
    text, half = format_value(row.get(metric), metric, kinds), number(row, f"ci95/{metric}")
    if not math.isfinite(half):
        return text
    return f"{text} ± {format_value(half, metric, kinds).removeprefix('+')}"


def column_order(rows: Iterable[Row], first: Sequence[str] = ()) -> list[str]:
    """The columns of rows in a stable order: identity, `first`, metrics by group, configuration,
    anything else, and the command last."""
    names = {key for row in rows for key in row}
    groups = [[c for c in HEAD_COLUMNS if c in names], [c for c in first if c in names]]
    groups += [sorted(c for c in names if c.startswith(prefix)) for prefix in _GROUPS]
    placed = [c for group in groups for c in group]
    rest = sorted(names - set(placed) - {"command"})
    return list(dict.fromkeys(placed + rest + (["command"] if "command" in names else [])))


def varied_columns(rows: Sequence[Row]) -> list[str]:
    """The configuration columns whose value differs between rows: what the search varied."""
    columns = [c for c in column_order(rows) if c.startswith(CONFIGURATION)]
    return [c for c in columns if len({repr(row.get(c)) for row in rows}) > 1]
