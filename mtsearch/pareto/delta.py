"""Delta-m: the relative gain of a multi-task network over the control, in percent, averaged over
tasks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from mtsearch.pareto.columns import Kinds, Row, is_aggregate, metric_info, number

Measure = Literal["percent", "min", "max"]
"""How a metric enters Delta-m: as 100 minus a percentage of error (accuracy, mIoU), or as it is, to
be minimised or maximised."""


def delta_m(
    row: Mapping[str, Any], control: Mapping[str, Any], measures: Mapping[str, Measure]
) -> float:
    """The mean relative gain over the control, in percent; positive is better (Maninis et al. 2019,
    equation 4, there as a drop; Vandenhende et al. 2021).

    Delta_m = 100 / K * sum_k s_k (M_k - C_k) / C_k, with s_k = -1 where lower is better, M_k the
    row's and C_k the control's k-th measure. An `error` in percent is turned into 100 - error first
    (accuracy for classification, mIoU for segmentation), because a ratio of small errors
    exaggerates. NaN where a value is missing or not finite or a control's measure is 0.
    """
    gains = []
    for metric, measure in measures.items():
        ours, theirs = number(row, metric), number(control, metric)
        if measure == "percent":
            ours, theirs = 100 - ours, 100 - theirs
        if not (math.isfinite(ours) and math.isfinite(theirs) and theirs):
            return math.nan
        gains.append((-1 if measure == "min" else 1) * (ours - theirs) / abs(theirs))
    return 100 * math.fsum(gains) / len(gains) if gains else math.nan


def measures_of(
    rows: Iterable[Row], split: str = "val", kinds: Kinds | None = None
) -> dict[str, Measure]:
    """The `error` of every task that the rows report on a split, with how it enters Delta-m."""
    names = sorted(
        {
            key
            for row in rows
            for key in row
            if key.startswith(f"{split}/") and key.endswith("/error") and key.count("/") == 2
            if not is_aggregate(key)
        }
    )
    return {name: "percent" if metric_info(name, kinds).unit == "%" else "min" for name in names}


def with_delta_m(rows: Sequence[Row], control: str | None, kinds: Kinds | None = None) -> list[Row]:
    """Copies of the rows with `delta_m` (validation) and, for rows that were tested,
    `test/delta_m`, against the control of that name.

    A control trained several times counts with the mean of its finished rows. Without a finished
    control nothing is added; rows that cannot be compared get None.
    """
    controls = [
        row
        for row in rows
        if row.get("kind") == "control"
        and row.get("control") == control
        and row.get("state") == "done"
    ]
    out = [dict(row) for row in rows]
    if control is None or not controls:
        return out
    for split, column in (("val", "delta_m"), ("test", "test/delta_m")):
        measures = measures_of(controls, split, kinds)
        if not measures:
            continue
        mean = {metric: _mean([number(row, metric) for row in controls]) for metric in measures}
        for row in out:
            gain = delta_m(row, mean, measures) if row.get("state") == "done" else math.nan
            row[column] = None if math.isnan(gain) else gain
    return out


def _mean(values: Sequence[float]) -> float:
    return (
        math.fsum(value / len(values) for value in values)
        if all(map(math.isfinite, values))
        else math.nan
    )
