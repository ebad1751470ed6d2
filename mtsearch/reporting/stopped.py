"""What stopped trials would have reached, predicted from the reports of all trials."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mtsearch.pareto.columns import Row, number
from mtsearch.pareto.constraints import Floats
from mtsearch.pareto.curve_gp import CurveGP, Points
from mtsearch.pareto.dominance import non_dominated, objective_values
from mtsearch.pareto.result import SearchResult
from mtsearch.pareto.scale import Scale
from mtsearch.reporting.importance import feature

Places = NDArray[np.int64]
MIN_DONE = 6
"""Finished trials, below which a prediction says nothing."""
MOST_POINTS = 240
"""Reports that the model reads, each trial's last one among them."""


def stopped_predictions(result: SearchResult) -> list[Row]:
    """A row per stopped trial: the objectives at the end of its training, predicted by one
    `CurveGP` per objective from the reports 1, 3, 9, ... and the last one of each trial.

    `epoch` is that of its last report; for each objective `last/METRIC`, `predicted/METRIC` and the
    bounds of the 95 % interval, `low/METRIC` and `high/METRIC`; `front` says whether the prediction
    is dominated by no point of the front. Empty with fewer than `MIN_DONE` finished trials.
    """
    metrics = [o.metric for o in result.objectives]
    reports: dict[str, list[Row]] = {}
    for report in result.history:
        if all(math.isfinite(number(report, m)) for m in metrics):
            reports.setdefault(str(report.get("trial")), []).append(report)
    rows = [row for row in result.search_rows if reports.get(str(row["trial"]))]
    done = [row for row in rows if row.get("state") == "done"]
    stopped = [row for row in rows if row.get("state") == "stopped"]
    if len(done) < MIN_DONE or not stopped or not result.varied:
        return []
    room = MOST_POINTS // 3 - len(stopped[:40])
    kept = [*done[-max(room, MIN_DONE) :], *stopped[-40:]]
    points, values, last = _observed(kept, reports, result)
    predicted = []
    for i, objective in enumerate(result.objectives):
        sign = -1.0 if objective.goal == "max" else 1.0
        predicted.append(_predicted(points, sign * values[:, i], last, result, sign))
    found = []
    front = objective_values(result.front_rows, result.objectives)
    for place, row in enumerate(kept):
        if row.get("state") != "stopped":
            continue
        newest = reports[str(row["trial"])][-1]
        entry: Row = {"trial": str(row["trial"]), "epoch": newest.get("epoch")}
        end = [float(column[1][place]) for column in predicted]
        for metric, column in zip(metrics, predicted, strict=True):
            low, middle, high = (float(part[place]) for part in column)
            entry[f"last/{metric}"] = number(newest, metric)
            entry |= {f"predicted/{metric}": middle, f"low/{metric}": low, f"high/{metric}": high}
        together = np.vstack([front, [end]])
        entry["front"] = bool(non_dominated(together, result.goals)[-1])
        found.append(entry)
    return found


def _observed(
    rows: list[Row], reports: dict[str, list[Row]], result: SearchResult
) -> tuple[Points, Floats, Places]:
    """The observations of trials, their values (n, k), and the place of the last of each trial."""
    names = list(result.varied)
    columns = np.stack([feature(rows, name) for name in names], axis=1)
    low, high = columns.min(axis=0), columns.max(axis=0)
    units = (columns - low) / np.maximum(high - low, 1e-12)
    length = max(int(entry["report"]) for row in rows for entry in reports[str(row["trial"])])
    kept: list[tuple[int, float, Row]] = []
    last = []
    for i, row in enumerate(rows):
        own = sorted(reports[str(row["trial"])], key=lambda entry: int(entry["report"]))
        ended = row.get("state") == "done"
        rungs = {3**power for power in range(12)}
        for entry in [e for e in own[:-1] if int(e["report"]) in rungs][-2:]:
            kept.append((i, _left(int(entry["report"]), length), entry))
        last.append(len(kept))
        kept.append(
            (i, 0.0 if ended else _left(int(own[-1]["report"]), length), row if ended else own[-1])
        )
    trials = np.array([i for i, _, _ in kept])
    points = Points(units[trials], np.array([left for _, left, _ in kept]), trials)
    return (
        points,
        objective_values([entry for _, _, entry in kept], result.objectives),
        np.array(last),
    )


def _left(report: int, length: int) -> float:
    """The part of the training that is left, logarithmic: 1 at the first report, 0 at the last."""
    return max(1 - math.log(report) / math.log(length), 0.0) if length > 1 else 0.0


def _predicted(
    points: Points, values: Floats, last: Places, result: SearchResult, sign: float
) -> tuple[Floats, Floats, Floats]:
    """Lower bound, median and upper bound at the end of each trial's training, in the objective's
    unit. An objective that does not change within a trial is known."""
    if all(len(set(values[points.trials == t])) == 1 for t in set(points.trials.tolist())):
        known = sign * values[last]
        return known, known, known
    scale = Scale(values[last])
    categorical = np.array([_is_text(result, name) for name in result.varied])
    model = CurveGP(points, scale.forward(values), categorical)
    mean, spread = model.predict_trials(last)
    bounds = [sign * scale.backward(mean + z * spread) for z in (-1.96, 0.0, 1.96)]
    return (bounds[0], bounds[1], bounds[2]) if sign > 0 else (bounds[2], bounds[1], bounds[0])


def _is_text(result: SearchResult, name: str) -> bool:
    cells = [row.get(name) for row in result.search_rows if row.get(name) is not None]
    return not all(isinstance(c, int | float) and not isinstance(c, bool) for c in cells)
