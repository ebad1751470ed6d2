"""The plot of the front."""

import math

import pytest
from PIL import Image

from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto import search_result
from mtsearch.reporting.plots import front_figure, write_front
from tests.helpers.synthetic_search import OBJECTIVES, TWO, search

FOUR = (*OBJECTIVES, Objective(metric="model/params", goal="min"))


def lines_of(axes):
    return [line for line in axes.get_lines() if len(line.get_xdata()) > 1]


@pytest.mark.parametrize(
    ("objectives", "panels"), [(TWO[:1], 1), (TWO, 1), (OBJECTIVES, 3), (FOUR, 6)]
)
def test_one_panel_per_pair_of_objectives(objectives, panels):
    figure = front_figure(search_result(*search(), objectives))
    assert len(figure.axes) == panels and figure.axes[0].get_xlabel() in (
        "image error (%)",
        "finished trials",
    )


def test_legend_entries():
    figure = front_figure(search_result(*search(), TWO))
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["dominated trial", "front", "knee", "plain", "published", "stl"]
    bounded = front_figure(
        search_result(*search(), TWO, [Constraint(metric="model/density", max=0.5)])
    )
    assert "breaks a constraint" in [text.get_text() for text in bounded.legends[0].get_texts()]


@pytest.mark.parametrize(
    (
        "goals",
        "corner",
        # of the front (1, 2), (2, 1) or its mirror: the boundary turns where both neighbours are
        # dominated
    ),
    [
        (("min", "min"), (2, 2)),
        (("max", "max"), (1, 1)),
        (("min", "max"), (2, 1)),
        (("max", "min"), (1, 2)),
    ],
)
def test_boundary_of_the_dominated_region(goals, corner):
    points = [(1, 2), (2, 1)] if goals[0] == goals[1] else [(1, 1), (2, 2)]
    objectives = [Objective(metric=f"m{i}", goal=g) for i, g in enumerate(goals)]
    rows = [
        {"trial": f"{i:04d}", "state": "done", "kind": "search", "m0": float(a), "m1": float(b)}
        for i, (a, b) in enumerate(points)
    ]
    (line,) = lines_of(front_figure(search_result(rows, [], objectives)).axes[0])
    (a, b), (c, d) = line.get_xydata()
    turn = (c, b) if line.get_drawstyle() == "steps-post" else (a, d)
    assert turn == corner


def test_axes_ignore_a_far_trial():
    rows, _ = search(trials=40)
    rows[0] |= {"val/image/error": 1e4, "val/digit/error": 90.0}
    axes = front_figure(search_result(rows, [], TWO)).axes[0]
    assert axes.get_xlim()[1] < 100 and any(
        "beyond the axes" in text.get_text() for text in axes.texts
    )


def test_axes_fit_front_and_controls():
    rows, _ = search()
    result = search_result(rows, [], TWO)
    axes = front_figure(result).axes[0]
    points = [row["val/image/error"] for row in [*result.front_rows, *result.control_rows]]
    margin = 0.07 * (max(points) - min(points))
    assert min(points) - margin < axes.get_xlim()[0] < min(points)
    assert max(points) < axes.get_xlim()[1] < max(points) + margin


@pytest.mark.parametrize(("count", "stars"), [(2, 0), (24, 1)])
def test_star_needs_three_points(count, stars):
    rows, _ = search()
    figure = front_figure(search_result(rows[:count], [], TWO))
    assert [t.get_text() for t in figure.legends[0].get_texts()].count("knee") == stars


def test_plot_of_few_or_broken_rows(tmp_path):
    rows, _ = search()
    for few in (
        [],
        rows[:1],
        [rows[5]],
        [rows[11], rows[17]],
        [r for r in rows if r["kind"] == "control"],
    ):
        for objectives in (TWO[:1], TWO, OBJECTIVES) if few in ([], rows[:1]) else (TWO,):
            front_figure(search_result(few, [], objectives)).draw_without_rendering()
    write_front(
        tmp_path / "nan.png", search_result([{**rows[0], "val/image/error": math.nan}], [], TWO)
    )


def test_png_has_print_resolution(tmp_path):
    write_front(tmp_path / "front.png", search_result(*search(), TWO))
    with Image.open(tmp_path / "front.png") as image:
        assert image.width > 1200 and round(image.info["dpi"][0]) == 300


def test_vector_files_are_reproducible(tmp_path):
    for name in ("a.svg", "b.svg"):
        write_front(tmp_path / name, search_result(*search(), TWO))
    assert "image error (%)" in (tmp_path / "a.svg").read_text()
    assert (tmp_path / "a.svg").read_text() == (tmp_path / "b.svg").read_text()
    write_front(tmp_path / "front.pdf", search_result(*search(), TWO))
    assert (tmp_path / "front.pdf").read_bytes().startswith(b"%PDF")


def test_plot_of_many_objectives_is_limited():
    many = [Objective(metric=f"val/t{i}/loss", goal="min") for i in range(41)]
    rows = [
        {
            "trial": f"{i:04d}",
            "state": "done",
            "kind": "search",
            **{o.metric: (i * 7 + j * 5) % 11 for j, o in enumerate(many)},
        }
        for i in range(12)
    ]
    figure = front_figure(search_result(rows, [], many))
    assert len(figure.axes) == 15 and "15 of 820 pairs" in figure.get_supxlabel()


def test_dollar_and_underscore_in_names_are_text():
    rows, _ = search()
    rows[-1]["control"] = "_a$b$"
    legend = front_figure(search_result(rows, [], TWO)).legends[0].get_texts()
    assert r" _a\$b\$" in [text.get_text() for text in legend]
