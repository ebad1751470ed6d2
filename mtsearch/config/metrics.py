"""The metrics a trial reports: their names, directions, units and default hypervolume
references."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mtsearch.config.errors import BadInput

if TYPE_CHECKING:  # the cards module imports this one
    from mtsearch.config.cards import TaskCard


@dataclass(frozen=True)
class Metric:
    """A metric: `goal` is min or max; `reference` is the hypervolume's default reference value, or
    None for the worst value of the search. Metrics with `undefined` exist only for tasks whose card
    names an undefined class."""

    goal: str
    unit: str = ""
    reference: float | None = None
    undefined: bool = False


TASK_METRICS: dict[str, dict[str, Metric]] = {}
"""The metrics of each task kind by name."""
_VALUED: set[str] = set()
MEAN_IOU = (
    "100 minus the mean IoU over the classes that occur in the labels or the predictions of the"
    " split, without the undefined class; `error_all` counts that class too."
)
"""What the `error` of a segmentation is, for tables and cards."""


def task_metrics(
    kind: str, metrics: Mapping[str, Metric], *, labels: Literal["classes", "values"] = "classes"
) -> None:
    """Declare a task kind with its metrics, `loss` and `error` among them, which balancing and the
    choice of a report read.

    Args:
        kind: the word that a data card gives as a task's `kind`.
        metrics: what its meter computes, by name.
        labels: ``classes`` for whole numbers in 0..outputs-1, the card's `ignore` being "not
            labelled"; ``values`` for floats, NaN being "not labelled".

    Raises:
        BadInput: `loss` or `error` is missing or not minimised, or the kind has been declared
            otherwise before.
    """
    for name in ("loss", "error"):
        if name not in metrics or metrics[name].goal != "min":
            raise BadInput(
                f"the task kind `{kind}` should have a metric `{name}` with the goal min. Found"
                f" {', '.join(metrics) or 'none'}."
            )
    if TASK_METRICS.get(kind, metrics) != metrics or (
        kind in TASK_METRICS and (kind in _VALUED) != (labels == "values")
    ):
        raise BadInput(
            f"the task kind `{kind}` is already taken, with the metrics"
            f" {', '.join(TASK_METRICS[kind])}. Give it another name."
        )
    TASK_METRICS[kind] = dict(metrics)
    if labels == "values":
        _VALUED.add(kind)


def has_values(kind: str) -> bool:
    """Whether the labels of a kind are floats, NaN being "not labelled", and not whole numbers of
    classes."""
    return kind in _VALUED


task_metrics(
    "classification",
    {
        "loss": Metric("min"),
        "error": Metric("min", "%", 100.0),
        "kappa": Metric("max", "", 0.0),
        "f1": Metric("max", "", 0.0),
        "balanced_accuracy": Metric("max", "%", 0.0),
    },
)
task_metrics(
    "multilabel",
    {
        "loss": Metric("min"),
        "error": Metric("min", "%", 100.0),
        "f1": Metric("max", "", 0.0),
    },
    labels="values",
)
task_metrics(
    "ordinal",
    {"loss": Metric("min"), "error": Metric("min", "%", 100.0), "mae": Metric("min")},
)
task_metrics(
    "segmentation",
    {
        "loss": Metric("min"),
        "error": Metric("min", "%", 100.0),
        "pixel_error": Metric("min", "%", 100.0),
        "kappa": Metric("max", "", 0.0),
        "error_all": Metric("min", "%", 100.0, undefined=True),
        "pixel_error_all": Metric("min", "%", 100.0, undefined=True),
        "kappa_all": Metric("max", "", 0.0, undefined=True),
    },
)
task_metrics(
    "regression",
    {"loss": Metric("min"), "error": Metric("min"), "mae": Metric("min"), "r2": Metric("max")},
    labels="values",
)
task_metrics(
    "restoration",
    {
        "loss": Metric("min"),
        "error": Metric("min"),
        "psnr": Metric("max", "dB"),
        "ssim": Metric("max", "", 0.0),
    },
    labels="values",
)

task_metrics(
    "depth",
    {
        "loss": Metric("min"),
        "error": Metric("min"),
        "rel_error": Metric("min", "%", 100.0),
        "rmse": Metric("min"),
        "delta1": Metric("max", "%", 0.0),
    },
    labels="values",
)
task_metrics(
    "normals",
    {
        "loss": Metric("min"),
        "error": Metric("min", "deg", 90.0),
        "median": Metric("min", "deg", 90.0),
        "within_11": Metric("max", "%", 0.0),
        "within_22": Metric("max", "%", 0.0),
        "within_30": Metric("max", "%", 0.0),
    },
    labels="values",
)
DENSE = ("segmentation", "restoration", "depth", "normals")
"""Kinds whose labels have a value for each pixel."""
CHANNELS = {"depth": 1, "normals": 3}
"""The number of outputs of the kinds that have a fixed one."""

AGGREGATES = ("mean", "worst", "spread")
"""What reports say about the errors of all tasks together: `val/mean/error`, `val/worst/error`, and
`val/spread/error`, the worst error minus the best one. No task has one of these names."""

DELTA_M = "val/delta_m"
"""The mean relative gain over the control `delta_m` of the space, in percent."""
LATENCY = "model/latency"
"""Milliseconds for one batch through the compacted network, see `Latency`."""

MODEL_METRICS: dict[str, Metric] = {
    "model/params": Metric("min"),
    "model/nonzero": Metric("min"),
    "model/trainable": Metric("min"),
    "model/density": Metric("min", "", 1.0),
    "model/sparsity_rate": Metric("max", "%", 0.0),
    "model/compression_rate": Metric("max", "", 1.0),
    "model/parameter_sharing": Metric("max", "", 0.0),
    "model/macs": Metric("min"),
    LATENCY: Metric("min", "ms"),
}
COST_METRICS: dict[str, Metric] = {
    "cost/seconds": Metric("min", "s"),
    "cost/steps": Metric("min"),
    "cost/examples": Metric("min"),
}


def percentages(kinds: Iterable[str]) -> bool:
    """Whether the `error` of each of these task kinds is a percentage; that of a kind of a plug-in
    that is not loaded is not."""
    return all(TASK_METRICS.get(kind, {}).get("error", Metric("min")).unit == "%" for kind in kinds)


def aggregate_metric(kinds: Iterable[str]) -> Metric:
    """The metric of `val/mean/error` and the other aggregates of tasks of these kinds: percentages
    where all errors are percentages, else errors relative to those of the constant predictor."""
    return Metric("min", "%", 100.0) if percentages(kinds) else Metric("min")


_GAIN = Metric("max", "%")  # Delta-m


def metrics_of(tasks: Iterable[TaskCard]) -> dict[str, Metric]:
    """All metrics that a report on these tasks may contain, by name: the possible objectives."""
    tasks = list(tasks)
    together = aggregate_metric(task.kind for task in tasks)
    found = {f"val/{name}/error": together for name in AGGREGATES}
    found[DELTA_M] = _GAIN
    for task in tasks:
        for name, metric in TASK_METRICS[task.kind].items():
            if task.undefined is not None or not metric.undefined:
                found[f"val/{task.name}/{name}"] = metric
    return {**found, **MODEL_METRICS, **COST_METRICS}


def metric_of(name: str) -> Metric:
    """Direction, unit and reference of a metric by its name. An unknown metric is minimised."""
    for table in (MODEL_METRICS, COST_METRICS):
        if name in table:
            return table[name]
    if "/" not in name:  # an expression, a setting, or the column `delta_m`
        return _GAIN if name == "delta_m" else Metric("min")
    if name.rsplit("/", 1)[-1] == "delta_m":
        return _GAIN
    if name.split("/")[2:3] == ["accuracy"]:  # of one class, on the test split only
        return Metric("max", "%", 0.0)
    last = name.rsplit("/", 1)[-1]
    for kind in TASK_METRICS.values():
        if last in kind:
            return kind[last]
    return Metric("min")
