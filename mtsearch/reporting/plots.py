"""The plot of the front in print quality: all trials, the front, its knee and the controls."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from mtsearch.config.files import replacing
from mtsearch.config.schema import Objective
from mtsearch.pareto.attainment import attainment_surface, seed_sets
from mtsearch.pareto.columns import Row, label
from mtsearch.pareto.constraints import Floats
from mtsearch.pareto.dominance import non_dominated, objective_values, to_minimise
from mtsearch.pareto.result import SearchResult
from mtsearch.reporting import palette

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.labelsize": 9.5,
    "axes.edgecolor": palette.INK,
    "axes.labelcolor": palette.INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E9EC",
    "grid.linewidth": 0.6,
    "xtick.color": palette.INK,
    "ytick.color": palette.INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,  # text stays text in vector files
    "svg.fonttype": "none",
    "svg.hashsalt": "mtsearch",  # the same plot gives the same file
}
MAX_PANELS = 15  # all pairs of six objectives; more take minutes to draw
# without its date the same plot gives the same file
_UNDATED: dict[str, dict[str, None]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


def write_front(path: Path, result: SearchResult) -> None:
    """Write the plot to `path`, replaced in one step; the suffix (.png, .pdf, .svg) says the
    format."""
    with mpl.rc_context(STYLE), replacing(path) as temporary:
        front_figure(result).savefig(
            temporary,
            format=path.suffix[1:],
            bbox_inches="tight",
            pad_inches=0.04,
            metadata=_UNDATED.get(path.suffix),
        )


def front_figure(result: SearchResult) -> Figure:
    """One panel for one or two objectives, one panel per pair for more (three in a line), sharing
    one legend. Above `MAX_PANELS` pairs the panels are those of the first objective."""
    count = len(result.objectives)
    pairs = list(combinations(range(count), 2))
    total = len(pairs)
    if total > MAX_PANELS:
        pairs = [(0, j) for j in range(1, count)][:MAX_PANELS]
    if len(pairs) < 2:
        figure = Figure(figsize=(4.6, 3.5), layout="constrained")
        panels = [figure.subplots()]
    else:
        lines = -(-len(pairs) // 3)
        figure = Figure(figsize=(8.6, 2.95 * lines), layout="constrained")
        panels = list(np.atleast_1d(figure.subplots(lines, min(3, len(pairs)))).flat)
        for spare in panels[len(pairs) :]:
            spare.remove()
    if pairs:
        for axes, (i, j) in zip(panels, pairs, strict=False):
            _pair(axes, result, result.objectives[i], result.objectives[j])
    else:
        _single(panels[0], result)
    if len(pairs) < total:
        text = f"{len(pairs)} of {total} pairs of objectives; the page of the run has the others"
        figure.supxlabel(text, fontsize=8)
    handles = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
    if handles:
        order = list(handles)
        columns = len(order) if len(pairs) > 1 else 3
        figure.legend(
            [handles[t] for t in order],
            order,
            loc="outside upper center",
            ncols=columns,
            columnspacing=1.4,
            handletextpad=0.4,
        )
    return figure


def _pair(axes: Axes, result: SearchResult, x: Objective, y: Objective) -> None:
    pair = (x, y)
    others = objective_values([row for row in result.eligible if not row["front"]], pair)
    front, controls = (
        objective_values(result.front_rows, pair),
        objective_values(result.control_rows, pair),
    )
    breaking = objective_values(result.infeasible, pair)
    if len(breaking):
        _marks(
            axes,
            breaking,
            s=16,
            marker="x",
            color=palette.OTHER,
            linewidths=0.9,
            label="breaks a constraint",
            zorder=2,
        )
    if len(others):
        _marks(
            axes,
            others,
            s=16,
            color=palette.OTHER,
            alpha=0.75,
            linewidths=0,
            label="dominated trial",
            zorder=2,
        )
    if len(front):
        two = len(result.objectives) == 2
        edge = front[non_dominated(front, [o.goal for o in pair])]
        bands = _attainment(axes, result, pair)
        if not bands:
            _staircase(
                axes,
                edge,
                pair,
                linestyle="-" if two else ":",
                name="" if two else "best of these two objectives",
            )
        _marks(
            axes,
            front,
            s=30,
            color=palette.FRONT,
            edgecolors="white",
            linewidths=0.6,
            label="front",
            zorder=4,
        )
    if result.knee is not None:
        star = {"marker": "*", "color": palette.KNEE, "edgecolors": "white", "linewidths": 0.6}
        _marks(axes, objective_values([result.knee], pair), s=150, label="knee", zorder=6, **star)
    _controls(axes, result.control_rows, controls)
    for axis in (axes.xaxis, axes.yaxis):
        if max(abs(v) for v in axis.get_data_interval()) >= 1e4:
            axis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel(_plain(label(x.metric, result.kinds)))
    axes.set_ylabel(_plain(label(y.metric, result.kinds)))
    _limits(axes, np.vstack([front, controls[np.isfinite(controls).all(axis=1)]]), others)
    if not len(front):
        axes.text(
            0.5,
            0.5,
            "no finished trial yet",
            transform=axes.transAxes,
            ha="center",
            va="center",
            color="#6B7580",
        )


def _marks(axes: Axes, points: Floats, **style: Any) -> None:
    axes.scatter(points[:, 0], points[:, 1], **style)


def _attainment(axes: Axes, result: SearchResult, pair: Sequence[Objective]) -> bool:
    """What the front attains with half of the seeds as a line, and the band from what it attains
    with all of them to what it attains with one. Returns whether there are several seeds."""
    groups = [result.members.get(str(row["trial"]), [row]) for row in result.front_rows]
    sets = seed_sets(groups, pair)
    if len(sets) < 2:
        return False
    goals = [o.goal for o in pair]
    best, middle, worst = (
        to_minimise(attainment_surface(sets, goals, count), goals)
        for count in (1, -(-len(sets) // 2), len(sets))
    )
    signs = to_minimise([[1.0, 1.0]], goals)[0]
    corners = np.vstack([best, worst])
    low, high = corners.min(axis=0), corners.max(axis=0)
    end = high + 10 * np.where(high > low, high - low, 1.0)  # beyond the axes
    x = np.unique(np.append(corners[:, 0], end[0]))
    x = np.repeat(x, 2)[1:]  # each corner twice: before and after the step
    lower, upper = (np.minimum(_height(s, x[::2]), end[1]) for s in (best, worst))
    axes.fill_between(
        signs[0] * x,
        signs[1] * np.repeat(lower, 2)[:-1],
        signs[1] * np.repeat(upper, 2)[:-1],
        color=palette.FRONT,
        alpha=0.15,
        linewidth=0,
        label=f"attained by 1 to all of {len(sets)} seeds",
        zorder=1,
    )
    _staircase(axes, middle * signs, pair, "-", "attained by half of the seeds")
    return True


def _height(surface: Floats, x: Floats) -> Floats:
    """The second coordinate of a surface of minimised points at each x; infinite to its left."""
    inside = surface[None, :, 0] <= x[:, None]
    return np.asarray(np.where(inside, surface[None, :, 1], np.inf).min(axis=1))


def _staircase(
    axes: Axes, edge: Floats, pair: Sequence[Objective], linestyle: str, name: str
) -> None:
    """The boundary of what the points dominate: between two neighbours it runs through the corner
    that is worse in both."""
    edge = np.unique(edge, axis=0)
    steps: Literal["pre", "post"] = "post" if pair[0].goal == "min" else "pre"
    axes.step(
        edge[:, 0],
        edge[:, 1],
        where=steps,
        color=palette.FRONT,
        linewidth=1.3,
        linestyle=linestyle,
        alpha=0.9,
        zorder=3,
        label=name or None,
    )


def _controls(axes: Axes, rows: Sequence[Row], points: Floats) -> None:
    for i, (row, point) in enumerate(zip(rows, points, strict=True)):
        if np.isfinite(point).all():
            name, (colour, mark) = _control_name(row), palette.control_style(i)
            style = {"marker": mark, "color": colour}
            _marks(
                axes,
                point[None],
                s=40,
                edgecolors="white",
                linewidths=0.6,
                label=name,
                zorder=5,
                **style,
            )


def _control_name(row: Row) -> str:
    """A legend entry; matplotlib hides those that begin with an underscore."""
    name = _plain(str(row.get("control") or row["trial"]))
    return f" {name}" if name.startswith("_") else name


def _plain(text: str) -> str:
    """Text in which matplotlib finds no mathematics."""
    return text.replace("$", r"\$")


def _limits(axes: Axes, important: Floats, others: Floats) -> None:
    """Limit the axes to the front and the controls, or to nine tenths of the other trials where
    these are fewer than two points; a text in the corner gives the number of trials outside."""
    inside = important
    if len(np.unique(important, axis=0)) < 2 and len(others):
        inside = np.vstack([important, np.quantile(others, [0.05, 0.95], axis=0)])
    if len(inside) < 2:
        return
    low, high = inside.min(axis=0), inside.max(axis=0)
    margin = 0.06 * np.where(high > low, high - low, np.maximum(np.abs(high), 1e-3))
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
    beyond = (
        int(((others < low - margin) | (others > high + margin)).any(axis=1).sum())
        if len(others)
        else 0
    )
    if beyond:
        text = f"{beyond} trial{'s' if beyond > 1 else ''} beyond the axes"
        axes.text(
            0.985,
            0.015,
            text,
            transform=axes.transAxes,
            ha="right",
            va="bottom",
            fontsize=7,
            color="#6B7580",
        )


def _single(axes: Axes, result: SearchResult) -> None:
    objective = result.objectives[0]
    points = objective_values(result.counted, [objective])[:, 0]
    number = np.arange(1, len(points) + 1)
    if len(points):
        best = (np.minimum if objective.goal == "min" else np.maximum).accumulate(points)
        axes.scatter(
            number, points, s=16, color=palette.OTHER, linewidths=0, label="trial", zorder=2
        )
        axes.step(
            number,
            best,
            where="post",
            color=palette.FRONT,
            linewidth=1.3,
            label="best so far",
            zorder=3,
        )
    for i, row in enumerate(result.control_rows):
        level = objective_values([row], [objective])[0, 0]
        if np.isfinite(level):
            colour, _ = palette.control_style(i)
            axes.axhline(
                level,
                color=colour,
                linewidth=1.1,
                linestyle="--",
                label=_control_name(row),
                zorder=1,
            )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("finished trials")
    axes.set_ylabel(_plain(label(objective.metric, result.kinds)))
