"""Choosing one trial from the front."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto import by_preference, choose, front_rows, knee, normalised
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


def test_the_knee_bulges_furthest_towards_the_ideal():
    assert knee(LINE, ["min", "min"]) == 1
    assert knee([[-a, b] for a, b in LINE], ["max", "min"]) == 1
    assert knee([[3, 3]], ["min", "min"]) == 0


def test_the_knee_of_three_objectives_by_hand():
    # normalised sums: 2, 2, 2, 0.9, 1.2
    assert (
        knee([[0, 1, 1], [1, 0, 1], [1, 1, 0], [0.3, 0.3, 0.3], [0.2, 0.5, 0.5]], ["min"] * 3) == 3
    )


def test_a_front_on_a_line_has_its_middle_as_the_knee():
    assert knee([[0, 4], [1, 3], [2, 2], [3, 1], [4, 0]], ["min", "min"]) == 2


@given(st.floats(1e-6, 1e6), st.floats(-1e6, 1e6))
def test_the_knee_does_not_depend_on_units(scale, shift):
    assert (
        knee(
            [[a * scale + shift, b] for a, b in [[0, 10], [1, 4], [5, 1], [10, 0]]], ["min", "min"]
        )
        == 1
    )


def test_normalisation_puts_the_best_at_0_the_worst_at_1_and_a_constant_at_0():
    assert normalised([[1, 5, 2], [3, 5, 1]], ["min", "min", "max"]).tolist() == [
        [0, 0, 0],
        [1, 0, 1],
    ]


def test_a_preference_picks_the_smallest_weighted_chebyshev_distance():
    assert (
        by_preference(LINE, ["min", "min"], [0.5, 0.5]) == 1
    )  # the largest terms: .5 .2 .25 .45 .5
    assert by_preference(LINE, ["min", "min"], [0.2, 0.8]) == 2  # .8 .32 .1 .18 .2
    assert (
        by_preference(LINE, ["min", "min"], [0.1, 0.9]) == 3
    )  # .9 .36 .09 .09 .1, then the smaller weighted sum: .14 or .135
    assert by_preference(LINE, ["min", "min"], [1, 0]) == 0
    assert by_preference(LINE, ["min", "min"], [0, 1]) == 4


def test_picks_are_words():
    rows = rows_of(LINE)
    pick = lambda text: choose(rows, TWO, text)["trial"]  # noqa: E731
    assert pick("knee") == "0001"
    assert pick("best:val/image/error") == "0000"
    assert pick("best:val/digit/error") == "0004"
    assert pick("preference:image=1") == pick("preference:val/image/error=3,digit=0") == "0000"
    assert pick("preference:image=0.5,digit=0.5") == "0001"
    assert pick("trial:0003") == pick("trial:3") == "0003"
    assert pick("bound:val/image/error<=5") == "0002"  # the best digit error that the bound leaves
    assert pick("bound:val/digit/error<=10,val/image/error<=9") == "0001"


def test_the_best_of_a_metric_that_is_no_objective_takes_the_metrics_direction():
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


def test_a_task_with_two_objectives_must_be_named_in_full():
    objectives = [*TWO, Objective(metric="val/image/loss", goal="min")]
    rows = [{**row, "val/image/loss": 1.0} for row in rows_of(LINE)]
    assert choose(rows, objectives, "preference:val/image/error=1,digit=0")["trial"] == "0000"
    with pytest.raises(BadInput, match="`image`, which means no single objective"):
        choose(rows, objectives, "preference:image=1")


def test_a_choice_with_constraints_keeps_them():
    assert (
        choose(
            rows_of(LINE),
            TWO,
            "best:val/digit/error",
            [Constraint(metric="val/image/error", max=5)],
        )["trial"]
        == "0002"
    )


def test_every_form_but_trial_picks_from_the_front():
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
        ("kne", "`pick` should be `knee`"),
        ("knee:3", "`pick` should be `knee`"),
        ("best", "`pick` should be `knee`"),
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
def test_a_pick_that_cannot_be_read_is_answered_with_one_sentence(text, sentence):
    rows, _ = search()
    with pytest.raises(BadInput, match=sentence):
        choose(rows, OBJECTIVES, text)


def test_an_empty_front_says_why():
    with pytest.raises(BadInput, match=r"it has no finished trial\. Let it finish one"):
        choose([], TWO, "knee")
    with pytest.raises(
        BadInput,
        match=r"none of its 5 finished trials keeps the constraints\. Extend the run or loosen",
    ):
        choose(rows_of(LINE), TWO, "knee", [Constraint(metric="val/image/error", max=-1)])
