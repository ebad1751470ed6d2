"""Names of rows, result columns and notes on a front, for tables, plots and the page."""

from __future__ import annotations

import math

from mtsearch.config.metrics import DELTA_M, MEAN_IOU
from mtsearch.pareto.columns import Row, format_value, label, number
from mtsearch.pareto.result import SearchResult
from mtsearch.pareto.volume import SAMPLES
from mtsearch.reporting.many_tasks import (
    MANY,
    grouped_columns,
    tasks_in,
    without_crowd,
)


def result_columns(result: SearchResult) -> list[str]:
    """The metric columns of a front table: the objectives, their test figures and Delta-m, where a
    row of the table has them. Many tasks are grouped, see `grouped_columns`."""
    rows = [*result.front_rows, *result.control_rows]
    grouped = grouped_columns(rows, result.metrics)
    tested = [
        f"test/{metric.removeprefix('val/')}"
        for metric in result.metrics
        if metric.startswith("val/") and grouped is None
    ]
    gains = ["test/delta_m"] if DELTA_M in result.metrics else ["delta_m", "test/delta_m"]
    return result.metrics + [
        c
        for c in dict.fromkeys([*tested, *(grouped or []), *gains])
        if c not in result.metrics and any(not math.isnan(number(row, c)) for row in rows)
    ]


def table_columns(result: SearchResult) -> list[str]:
    """`result_columns` for a table of limited width: of many tasks that are objectives, those that
    differ most."""
    rows = [*result.front_rows, *result.control_rows]
    columns = result_columns(result)
    many = grouped_columns(rows, result.metrics) is not None
    return without_crowd(rows, columns) if many else columns


def identity(row: Row) -> str:
    """The name of a row: the trial, with a star for the knee and ≈ where a control is as good, or
    the control's name (with its state when it is not done)."""
    name = (
        f"control {row.get('control') or row.get('trial')}"
        if row.get("kind") == "control"
        else f"{row.get('trial')}"
    )
    state = "" if row.get("state") == "done" else f" ({row.get('state')})"
    equal = " ≈" if row.get("front") and row.get("not_better_than") else ""
    return f"{name}{' ★' if row.get('knee') else ''}{equal}{state}"


def result_notes(result: SearchResult) -> list[str]:
    """The sentences that explain the table of a front, one per line."""
    states = (
        ", ".join(f"{count} {state}" for state, count in sorted(result.states.items())) or "none"
    )
    trials = result.trials
    lines = [
        f"{trials} search trial{'' if trials == 1 else 's'} ({states});"
        f" {len(result.front_rows)} on the front."
    ]
    if result.ended is not None:
        lines.append(f"{result.ended}.")
    lines += _seed_notes(result)
    lines += _control_notes(result)
    idle = [str(row["trial"]) for row in result.search_rows if row.get("population/transfers") == 0]
    if idle:
        lines.append(
            f"No state was transferred in {', '.join(idle)} (`population/transfers` 0): these are"
            " no populations."
        )
    datasets = sorted({str(row["dataset"]) for row in result.rows if row.get("dataset")})
    if datasets:
        lines.append(f"Data: {'; '.join(datasets)}.")
    if result.constraints:
        bounds = [
            f"{label(c.metric, result.kinds)} {'≤' if c.max is not None else '≥'}"
            f" {format_value(c.max if c.max is not None else c.min)}"
            for c in result.constraints
        ]
        lines.append(f"Constraints: {'; '.join(bounds)}.")
    if result.knee is not None:
        lines.append(
            "★ is the knee: the front's point that bulges furthest towards the ideal after scaling"
            " each objective to [0, 1]."
        )
    if result.front_rows:
        lines.append(hypervolume_note(result))
    if len(tasks := tasks_in(list(result.rows[0]) if result.rows else [])) > MANY:
        lines.append(
            f"{len(tasks)} tasks: the table has the mean, the worst and the spread (worst minus"
            " best) of their errors, and the tasks that differ most between the rows;"
            " `front.csv` has all."
        )
    if any(kind == "segmentation" for kind in result.kinds.values()):
        lines.append(f"mIoU error is {MEAN_IOU}")
    if any(row.get("delta_m") is not None for row in result.rows):
        lines.append(
            f"Δm is the mean over tasks of the relative gain over control {result.control} in"
            " percent, on 100 - error where the error is a percentage; positive is better."
        )
    elif any(
        row.get("control") == result.control and row.get("state") == "done"
        for row in result.control_rows
    ):
        lines.append(
            f"Δm is omitted: it divides by the figures of control {result.control}, and one of them"
            " is 0 or missing."
        )
    return lines


def _control_notes(result: SearchResult) -> list[str]:
    """Which controls were searched, with what their search cost."""
    lines = []
    for row in result.control_rows:
        name = row.get("control")
        tried = sum(
            other.get("kind") == "candidate" and other.get("control") == name
            for other in result.rows
        )
        if tried:
            cost = format_value(row.get("cost/search_epochs"), "cost/search_epochs")
            lines.append(
                f"Control {name} is the best of {tried + 1} configurations by the mean validation"
                f" error ({row['trial']}); they were trained for {cost} epochs in all."
            )
    return lines


def _seed_notes(result: SearchResult) -> list[str]:
    """With how many seeds the rows were trained, and what that allows to say."""
    if result.seeds == 1:
        return ["One seed per configuration: differences may be noise of the seed."]
    counts = sorted({int(number(row, "seeds")) for row in result.front_rows})
    lines = [
        f"Figures of the front are means over {' or '.join(map(str, counts)) or 'several'} seeds; ±"
        " is half the width of the 95 % interval of a mean (Student's t)."
    ]
    shown = [*result.front_rows, *result.control_rows]
    few = [identity(row) for row in shown if number(row, "seeds") == 2]
    if few:
        names = ", ".join([*few[:5], *(["..."] if few[5:] else [])])
        lines.append(
            f"The intervals of {names} come from 2 seeds: Student's t with one degree of freedom is"
            " 12.7, so they are wide and say little. Take at least 3 (`search.confirm=3`)."
        )
    if any(row.get("confirmed") is False for row in result.search_rows):
        lines.append(
            "The front was confirmed: of all trials that were non-dominated by their first seed,"
            " it has those that are non-dominated by their means."
        )
    marked = [row for row in result.front_rows if row.get("not_better_than")]
    if marked:
        names = "; ".join(f"{row['trial']}: {row['not_better_than']}" for row in marked)
        lines.append(
            "≈ marks points of the front that are better than a control in no objective beyond"
            f" noise (95 % interval of the difference, paired by seed): {names}."
        )
    return lines


def hypervolume_note(result: SearchResult) -> str:
    """The hypervolume with its reference point and the origin of that."""
    front = result.front
    reference, value, error = front.reference, front.hypervolume, front.hypervolume_error
    parts = [
        f"{label(o.metric, result.kinds)} {v:.4g}{'' if origin == 'metric' else f' ({origin})'}"
        for o, v, origin in zip(result.objectives, reference.values, reference.origins, strict=True)
    ]
    share = (
        f", {100 * value / reference.box:.2f} % of the box to the ideal point"
        if reference.box
        else ""
    )
    note = f"Hypervolume {value:.6g}{f' ± {error:.2g}' if error else ''}{share}; reference point:"
    note += f" {', '.join(parts)}."
    if error:
        note += (
            f" The hypervolume is a Monte-Carlo estimate with its standard error ({SAMPLES:,}"
            f" samples): {len(result.front_rows)} points in {len(result.objectives)} objectives are"
            " too many for the exact computation."
        )
    return note
