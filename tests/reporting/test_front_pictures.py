"""The picture of the front."""

import math

import pytest
from PIL import Image

from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto import outcome
from mtsearch.reporting.plots import front_figure, write_front
from tests.helpers.synthetic_search import OBJECTIVES, TWO, search

FOUR = (*OBJECTIVES, Objective(metric="model/params", goal="min"))


def lines_of(axes):
    return [line for line in axes.get_lines() if len(line.get_xdata()) > 1]


@pytest.mark.parametrize(
    ("objectives", "panels"), [(TWO[:1], 1), (TWO, 1), (OBJECTIVES, 3), (FOUR, 6)]
)
def test_there_is_a_panel_for_each_pair_of_objectives(objectives, panels):
    figure = front_figure(outcome(*search(), objectives))
    assert len(figure.axes) == panels and figure.axes[0].get_xlabel() in (
        "image error (%)",
        "finished trials",
    )


def test_front_knee_controls_and_other_trials_are_in_the_legend():
    figure = front_figure(outcome(*search(), TWO))
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["dominated trial", "front", "knee", "plain", "published", "stl"]
    bounded = front_figure(outcome(*search(), TWO, [Constraint(metric="model/density", max=0.5)]))
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
def test_the_boundary_runs_through_what_the_front_dominates(goals, corner):
    points = [(1, 2), (2, 1)] if goals[0] == goals[1] else [(1, 1), (2, 2)]
    objectives = [Objective(metric=f"m{i}", goal=g) for i, g in enumerate(goals)]
    rows = [
        {"trial": f"{i:04d}", "state": "done", "kind": "search", "m0": float(a), "m1": float(b)}
        for i, (a, b) in enumerate(points)
    ]
    (line,) = lines_of(front_figure(outcome(rows, [], objectives)).axes[0])
    (a, b), (c, d) = line.get_xydata()
    turn = (c, b) if line.get_drawstyle() == "steps-post" else (a, d)
    assert turn == corner


def test_one_far_trial_does_not_squeeze_the_front():
    rows, _ = search(trials=40)
    rows[0] |= {"val/image/error": 1e4, "val/digit/error": 90.0}
    axes = front_figure(outcome(rows, [], TWO)).axes[0]
    assert axes.get_xlim()[1] < 100 and any(
        "beyond the axes" in text.get_text() for text in axes.texts
    )


def test_pictures_of_little_or_broken_data_are_drawn(tmp_path):
    rows, _ = search()
    for few in (
        [],
        rows[:1],
        [rows[5]],
        [rows[11], rows[17]],
        [r for r in rows if r["kind"] == "control"],
    ):
        for objectives in (TWO[:1], TWO, OBJECTIVES):
            front_figure(outcome(few, [], objectives)).draw_without_rendering()
    write_front(tmp_path / "nan.png", outcome([{**rows[0], "val/image/error": math.nan}], [], TWO))


def test_the_png_has_the_width_and_the_resolution_of_a_paper(tmp_path):
    write_front(tmp_path / "front.png", outcome(*search(), TWO))
    with Image.open(tmp_path / "front.png") as image:
        assert image.width > 1200 and round(image.info["dpi"][0]) == 300


def test_vector_files_keep_their_text_and_are_the_same_each_time(tmp_path):
    for name in ("a.svg", "b.svg"):
        write_front(tmp_path / name, outcome(*search(), TWO))
    assert "image error (%)" in (tmp_path / "a.svg").read_text()
    assert (tmp_path / "a.svg").read_text() == (tmp_path / "b.svg").read_text()
    write_front(tmp_path / "front.pdf", outcome(*search(), TWO))
    assert (tmp_path / "front.pdf").read_bytes().startswith(b"%PDF")
