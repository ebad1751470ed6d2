"""The metrics a trial reports: their names, directions, units and default hypervolume references."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mtsearch.config.cards import TaskCard


@dataclass(frozen=True)
class Metric:
    """`goal` is the better direction; `reference` the hypervolume's default reference value, None where the worst seen serves."""

    goal: str
    unit: str = ""
    reference: float | None = None


TASK_METRICS: dict[str, dict[str, Metric]] = {
    "classification": {"loss": Metric("min"), "error": Metric("min", "%", 100.0)},
    "segmentation": {"loss": Metric("min"), "error": Metric("min", "%", 100.0), "pixel_error": Metric("min", "%", 100.0)},
    "regression": {"loss": Metric("min"), "error": Metric("min")},
}
MODEL_METRICS: dict[str, Metric] = {
    "model/params": Metric("min"),
    "model/density": Metric("min", "", 1.0),
    "model/sparsity_rate": Metric("max", "%", 0.0),
    "model/compression_rate": Metric("max", "", 1.0),
    "model/parameter_sharing": Metric("max", "", 0.0),
    "model/macs": Metric("min"),
}
COST_METRICS: dict[str, Metric] = {
    "cost/seconds": Metric("min", "s"),
    "cost/steps": Metric("min"),
    "cost/examples": Metric("min"),
}


def metrics_of(tasks: Iterable[TaskCard]) -> dict[str, Metric]:
    """All metrics that a report on these tasks can hold, by name. Objectives may be any of them."""
    found: dict[str, Metric] = {}
    for task in tasks:
        for name, metric in TASK_METRICS[task.kind].items():
            found[f"val/{task.name}/{name}"] = metric
    return {**found, **MODEL_METRICS, **COST_METRICS}


def metric_of(name: str) -> Metric:
    """Direction, unit and reference of a metric by its name; an unknown last word counts as to be minimised."""
    for table in (MODEL_METRICS, COST_METRICS):
        if name in table:
            return table[name]
    last = name.rsplit("/", 1)[-1]
    for kind in TASK_METRICS.values():
        if last in kind:
            return kind[last]
    return Metric("min")
