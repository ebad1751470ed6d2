"""Choosing one trial from the front."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto import choose, front_rows, knee, objective_values
from tests.helpers.synthetic_search import OBJECTIVES, TWO, search

LINE = [
    [0, 10],
    [1, 4],
    [5, 1],
    [9, 0.5],
    [10, 0],
]  # normalised: (0,1) (.1,.4) (.5,.1) (.9,.05) (1,0)


def rows_of(points, **more):
    return [
        {
            "trial": f"{i:04d}",
            "state": "done",
            "kind": "search",
            "val/image/error": p[0],
            "val/digit/error": p[1],
            **more,
        }
        for i, p in enumerate(points)
    ]


def test_each_form_picks_its_trial():
    rows = rows_of(LINE)
    pick = lambda text: choose(rows, TWO, text)["trial"]  # noqa: E731
    assert pick("knee") == pick("auto") == "0001"
    assert pick("best:val/image/error") == "0000"
    assert pick("best:val/digit/error") == "0004"
    assert pick("preference:image=1") == pick("preference:val/image/error=3,digit=0") == "0000"
    assert pick("preference:image=0.5,digit=0.5") == "0001"
    assert pick("trial:0003") == pick("trial:3") == "0003"
    assert pick("bound:val/image/error<=5") == "0002"  # the best digit error that the bound leaves
    assert pick("bound:val/digit/error<=10,val/image/error<=9") == "0001"


def test_best_of_another_metric_uses_its_direction():
    rows = rows_of(LINE)
    for row, rate, params in zip(rows, [10, 50, 30, 20, 40], [9, 8, 7, 6, 5], strict=True):
        row |= {"model/sparsity_rate": rate, "model/params": params}
    assert choose(rows, TWO, "best:model/sparsity_rate")["trial"] == "0001"
    assert choose(rows, TWO, "best:model/params")["trial"] == "0004"
    for row in rows:
        row |= {"attempts": 1, "epoch": 3, "seed": 0}
    with pytest.raises(
        BadInput, match="`pick=best:epoch` names no metric"
    ):  # figures of the row, not of its model
        choose(rows, TWO, "best:epoch")


def test_ambiguous_task_name_is_refused():
    objectives = [*TWO, Objective(metric="val/image/loss", goal="min")]
    rows = [{**row, "val/image/loss": 1.0} for row in rows_of(LINE)]
    assert choose(rows, objectives, "preference:val/image/error=1,digit=0")["trial"] == "0000"
    with pytest.raises(BadInput, match="`image`, which means no single objective"):
        choose(rows, objectives, "preference:image=1")


def test_choice_satisfies_the_constraints():
    assert (
        choose(
            rows_of(LINE),
            TWO,
            "best:val/digit/error",
            [Constraint(metric="val/image/error", max=5)],
        )["trial"]
        == "0002"
    )


def test_every_form_but_trial_picks_from_front():
    rows, _ = search()
    front = {row["trial"] for row in front_rows(rows, OBJECTIVES)}
    for text in (
        "knee",
        "best:model/params",
        "preference:image=0.7,digit=0.3",
        "bound:model/density<=0.3",
    ):
        assert choose(rows, OBJECTIVES, text)["trial"] in front
    assert choose(rows, OBJECTIVES, "trial:0000")["trial"] not in front
    assert choose(rows, OBJECTIVES, "trial:stl")["control"] == "stl"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("kne", "`pick` should be `auto`"),
        ("knee:3", "`pick` should be `auto`"),
        ("auto:3", "`pick` should be `auto`"),
        ("best", "`pick` should be `auto`"),
        ("trial", "`pick` should be `auto`"),
        (
            "best:val/image/eror",
            r"names no metric of the front's trials. Did you mean `val/image/error`\?",
        ),
        ("preference:imag=1", r"Did you mean `image`\?"),
        ("preference:image=-1", "weight of at least 0. Found `-1`"),
        ("preference:image", "weight of at least 0. Found ``"),
        ("preference:image=0", "at least one objective a weight above 0"),
        ("trial:0099", "names no trial of the run"),
        ("trial:0005", "is failed, not done: CUDA-free test: out of memory"),
        ("trial:0017", "is running, not done. Choose"),
        ("bound:model/density<0.5", "should read METRIC<=VALUE"),
        ("bound:model/density<=small", "should read METRIC<=VALUE"),
        ("bound:model/densty<=0.5", r"Did you mean `model/density`\?"),
        ("bound:model/density<=0.01", "leaves no trial of the front: the smallest left is 0.2134"),
        ("bound:model/density>=1", "leaves no trial of the front: the largest left is 0.9007"),
    ],
)
def test_wrong_pick_is_refused_with_one_sentence(text, sentence):
    rows, _ = search()
    with pytest.raises(BadInput, match=sentence):
        choose(rows, OBJECTIVES, text)


def test_empty_front_says_why():
    with pytest.raises(BadInput, match=r"it has no finished trial\. Let one finish"):
        choose([], TWO, "knee")
    with pytest.raises(
        BadInput,
        match=r"none of its 5 finished trials satisfies the constraints\. Extend the run or loosen",
    ):
        choose(rows_of(LINE), TWO, "knee", [Constraint(metric="val/image/error", max=-1)])


def test_auto_takes_the_only_point_of_a_front():
    rows = rows_of([[3, 3], [4, 4], [3, 5]])
    assert choose(rows, TWO)["trial"] == choose(rows, TWO, "auto")["trial"] == "0000"


def test_auto_of_two_points_uses_equal_preference():
    three = [*TWO, Objective(metric="model/density", goal="min")]
    rows = rows_of([[0, 1], [1, 0]])
    rows[0]["model/density"], rows[1]["model/density"] = 0.5, 0.1
    assert choose(rows, three)["trial"] == "0001"  # best in two of the three objectives
    assert choose(rows_of([[0, 1], [1, 0]]), TWO)["trial"] == "0000"  # a tie: the earlier one


@pytest.mark.parametrize(
    "points",
    [[[3, 3]], [[0, 1], [1, 0]], [[0, 1], [1, 0], [1, 0], [0, 1]], [[1, 5], [1, 5], [1, 5]]],
)
def test_knee_is_refused_below_three_different_points(points):
    rows = rows_of(points)
    count = len({tuple(p) for p in points})
    message = rf"at least 3 different points\. Found {count}\. Use `pick=auto`"
    with pytest.raises(BadInput, match=message):
        choose(rows, TWO, "knee")
    assert choose(rows, TWO)["trial"] == "0000"


@given(
    st.lists(
        st.tuples(*[st.sampled_from([0.0, 1.0, 2.0, 4.0, math.nan, math.inf, -math.inf])] * 2),
        max_size=8,
    )
)
def test_auto_is_the_knee_where_defined(points):
    rows = rows_of(points)
    front = front_rows(rows, TWO)
    if not front:
        with pytest.raises(BadInput, match="empty front"):
            choose(rows, TWO)
        return
    chosen = choose(rows, TWO)
    assert chosen in front
    index = knee(objective_values(rows, TWO), ["min", "min"])
    if index is not None:
        assert chosen == rows[index] == choose(rows, TWO, "knee")


def test_bound_drops_points_dominated_in_the_other_objectives():
    three = [*TWO, Objective(metric="model/density", goal="min")]
    rows = rows_of([[0, 10], [1, 4], [5, 1], [10, 0], [0, 12]])
    for row, density in zip(rows, [0.9, 0.8, 0.7, 0.9, 0.1], strict=True):
        row["model/density"] = density
    assert choose(rows, three, "bound:model/density<=1")["trial"] == "0001"
