"""Statistics over seeds: means with 95 % intervals, and paired differences to the controls.

A configuration that was trained with several seeds has a row for each, `0012`, `0012.s1`, ...;
tables have one row for all of them. Its columns:

* the metrics: their means over the seeds that are done;
* `seeds`: their number;
* `ci95/METRIC`: half the width of the 95 % interval of that mean;
* `diff/CONTROL/METRIC`: the mean difference to a control, paired by seed, and
  `ci95/diff/CONTROL/METRIC`: half the width of its interval;
* `not_better_than`: the controls that the row is better than in no objective beyond noise;
* `confirmed`: whether the row counts for the front, see `merge_seeds`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto.columns import Row, number
from mtsearch.pareto.constraints import feasible
from mtsearch.pareto.dominance import non_dominated, objective_values
from mtsearch.pareto.trial_names import configuration_of, repeat_of

_METRICS = ("val/", "test/", "train/", "model/", "cost/", "population/", "delta_m")
_STOCHASTIC = ("val/", "test/", "model/", "cost/", "delta_m")  # the metrics with an interval
_LEVEL = 0.95


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean of n values, and half the width of its 95 % interval by Student's t with n - 1 degrees
    of freedom: t s / sqrt(n) with the sample standard deviation s.

    The half-width is NaN for fewer than two values; both are NaN where a value is not finite.
    """
    n = len(values)
    if not n or not all(map(math.isfinite, values)):
        return math.nan, math.nan
    mean = math.fsum(value / n for value in values)
    if n == 1:
        return mean, math.nan
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return mean, _student(n - 1) * spread / math.sqrt(n)


def _student(freedom: int) -> float:
    """The quantile of Student's t that a two-sided interval of 95 % uses."""
    from scipy.special import stdtrit  # takes a tenth of a second to import

    return float(stdtrit(freedom, 0.5 + _LEVEL / 2))


def paired(ours: Sequence[Row], theirs: Sequence[Row], metric: str) -> tuple[float, float, int]:
    """The mean of the differences `ours - theirs` in a metric over the seeds that both have, half
    the width of its 95 % interval, and the number of these seeds."""
    by_seed = {row.get("seed"): number(row, metric) for row in theirs}
    differences = [
        number(row, metric) - by_seed[row.get("seed")] for row in ours if row.get("seed") in by_seed
    ]
    differences = [value for value in differences if math.isfinite(value)]
    return *interval(differences), len(differences)


def members(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each configuration by the name of its first trial, that one first."""
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: repeat_of(str(row.get("trial")))):
        found.setdefault(configuration_of(str(row.get("trial"))), []).append(row)
    return found


def control_name(row: Row) -> str:
    """The name of a control in columns and tables; of a point of a control, the point's own."""
    trial = str(row["trial"])
    return trial if "@" in trial else str(row.get("control") or trial)


def merge_seeds(
    rows: Sequence[Row], objectives: Sequence[Objective], constraints: Sequence[Constraint] = ()
) -> list[Row]:
    """One row per configuration, in the order of the rows of the first trials. Where no
    configuration has several rows they are returned as they are.

    Where some search trials were confirmed with more seeds than the others and all trials of the
    front by the first seeds are among them, only these get `confirmed`: true, and the others
    cannot be on the front: means of several seeds and single results do not compare, as the best
    single result of many trials is partly luck.
    """
    groups = members(rows)
    if all(len(group) == 1 for group in groups.values()):
        return list(rows)
    done = {name: [r for r in group if r.get("state") == "done"] for name, group in groups.items()}
    named = {entry.metric for entry in (*objectives, *constraints)}
    merged = [_merged(groups[name][0], done[name], named) for name in groups]
    confirmed = _confirmed(groups, objectives, constraints)
    controls = {
        control_name(row): done[str(row["trial"])]
        for row in merged
        if row.get("kind") == "control" and row.get("state") == "done"
    }
    metrics = [o.metric for o in objectives]
    tested = [f"test/{m.removeprefix('val/')}" for m in metrics if m.startswith("val/")]
    for row in merged:
        name = str(row["trial"])
        if row.get("kind", "search") == "search":
            row |= _differences(done[name], controls, [*metrics, *tested], objectives)
            if confirmed:
                row["confirmed"] = name in confirmed
    _drop_constant_intervals(merged)
    order = {configuration_of(str(row.get("trial"))): i for i, row in reversed([*enumerate(rows)])}
    return sorted(merged, key=lambda row: order[str(row["trial"])])


def _merged(first: Row, done: Sequence[Row], named: Collection[str]) -> Row:
    """The row of a configuration from those of its finished trials. `named` are the metrics of
    objectives and constraints, whose expressions have names of any form."""
    row = {**first, "trial": configuration_of(str(first.get("trial"))), "seeds": len(done)}
    if first.get("state") != "done" or len(done) < 2:
        return row
    for key in [k for k in row if k in named or k.startswith(_METRICS) or k.endswith("/delta_m")]:
        values = [number(member, key) for member in done]
        if any(isinstance(member.get(key), str | bool) for member in done):
            continue
        mean, half = interval([value for value in values if math.isfinite(value)])
        if math.isfinite(mean):
            row[key] = mean
        if math.isfinite(half) and (key in named or key.startswith(_STOCHASTIC)):
            row[f"ci95/{key}"] = half
    return row


def _differences(
    ours: Sequence[Row],
    controls: dict[str, list[Row]],
    metrics: Sequence[str],
    objectives: Sequence[Objective],
) -> Row:
    """The columns `diff/...`, their intervals, and `not_better_than`."""
    found: Row = {}
    goals = {o.metric: -1 if o.goal == "max" else 1 for o in objectives}
    behind = []
    for control, theirs in controls.items():
        better, compared = False, 0
        for metric in metrics:
            mean, half, seeds = paired(ours, theirs, metric)
            if seeds < 2:
                continue
            found[f"diff/{control}/{metric}"] = mean
            found[f"ci95/diff/{control}/{metric}"] = half
            if metric in goals:
                compared += 1
                better |= goals[metric] * mean + half < 0
        if compared == len(goals) and not better:
            behind.append(control)
    if found:
        found["not_better_than"] = ", ".join(behind) or None
    return found


def _confirmed(
    groups: dict[str, list[Row]],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
) -> set[str]:
    """The configurations that were trained with more seeds than the others; none where all have as
    many, or where one of the front by the first seeds is not among them."""
    search = {
        name: group
        for name, group in groups.items()
        if group[0].get("kind", "search") == "search" and group[0].get("state") == "done"
    }
    sizes = {
        name: 0 if any(row.get("state") == "running" for row in group) else len(group)
        for name, group in search.items()
    }
    most, fewest = max(sizes.values(), default=0), min(map(len, search.values()), default=0)
    confirmed = {name for name, size in sizes.items() if size == most}
    if most == fewest:
        return set()
    named = {entry.metric for entry in (*objectives, *constraints)}
    first = [
        _merged(group[0], [row for row in group[:fewest] if row.get("state") == "done"], named)
        for group in search.values()
    ]
    first = [row for row, ok in zip(first, feasible(first, constraints), strict=True) if ok]
    inside = non_dominated(objective_values(first, objectives), [o.goal for o in objectives])
    front = {str(row["trial"]) for row, on in zip(first, inside, strict=True) if on}
    return confirmed if front <= confirmed else set()


def _drop_constant_intervals(rows: Sequence[Row]) -> None:
    """Remove intervals of figures that no seed changes, such as the number of parameters."""
    names = {key for row in rows for key in row if key.startswith("ci95/model/")}
    for key in names:
        if all(not number(row, key) > 0 for row in rows):
            for row in rows:
                row.pop(key, None)
