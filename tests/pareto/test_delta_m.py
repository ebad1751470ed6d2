"""Delta-m: the mean relative gain over the control."""

import math

import pytest

from mtsearch.pareto import delta_m, measures_of, with_delta_m
from tests.helpers.synthetic_search import search


def test_delta_m_of_two_classifications():
    control = {"val/image/error": 50.0, "val/digit/error": 4.0}
    row = {"val/image/error": 45.0, "val/digit/error": 6.4}
    measures = measures_of([row])
    assert measures == {"val/image/error": "percent", "val/digit/error": "percent"}
    # accuracies 55 against 50: +10 %; 93.6 against 96: -2.5 %
    assert delta_m(row, control, measures) == pytest.approx((10 - 2.5) / 2)
    assert delta_m(control, control, measures) == 0


def test_regression_error_counts_as_it_is():
    kinds = {"depth": "regression", "scene": "segmentation"}
    control, row = (
        {"val/depth/error": 0.5, "val/scene/error": 60.0},
        {
            "val/depth/error": 0.4,
            "val/scene/error": 58.0,
        },
    )
    measures = measures_of([row], "val", kinds)
    assert measures == {"val/depth/error": "min", "val/scene/error": "percent"}
    assert delta_m(row, control, measures) == pytest.approx((20 + 5) / 2)


def test_missing_or_zero_measure_gives_nan():
    measures = {"a": "max", "b": "min"}
    for row, control in [
        ({"a": 1}, {"a": 1, "b": 1}),
        ({"a": 1, "b": math.nan}, {"a": 1, "b": 1}),
        ({"a": 1, "b": 1}, {"a": 0, "b": 1}),
    ]:
        assert math.isnan(delta_m(row, control, measures))
    assert math.isnan(delta_m({}, {}, {}))


def test_rows_get_delta_m_per_split():
    rows, _ = search()
    found = with_delta_m(rows, "stl")
    assert "delta_m" not in rows[0]
    by = {row["trial"]: row for row in found}
    assert by["stl"]["delta_m"] == by["stl"]["test/delta_m"] == 0
    assert by["plain"]["delta_m"] == pytest.approx(
        50 * ((50.2 - 52.9) / 52.9 + (95.9 - 96.6) / 96.6)
    )
    assert (
        by["0000"]["test/delta_m"] is None
        and by["0005"]["delta_m"] is None
        and by["0011"]["delta_m"] is None
    )


def test_repeated_control_counts_with_its_mean():
    control = {"kind": "control", "control": "stl", "state": "done"}
    rows = [
        {**control, "val/a/error": 40.0},
        {**control, "val/a/error": 60.0},
        {"state": "done", "val/a/error": 45.0},
    ]
    assert with_delta_m(rows, "stl")[2]["delta_m"] == pytest.approx(10)


def test_controls_without_a_mean_give_no_delta_m():
    control = {"kind": "control", "control": "stl", "state": "done"}
    for values, compared in (
        ((math.inf, -math.inf), False),
        ((math.nan, 1.0), False),
        ((1e308, 1.7e308), True),
    ):
        rows = [
            *({**control, "val/a/error": value} for value in values),
            {"state": "done", "val/a/error": 45.0},
        ]
        assert (with_delta_m(rows, "stl")[2]["delta_m"] is not None) == compared


def test_no_finished_control_adds_nothing():
    rows, _ = search()
    assert with_delta_m(rows, None) == with_delta_m(rows, "other") == [row | {} for row in rows]
    assert (
        "delta_m" not in with_delta_m([row for row in rows if row["kind"] != "control"], "stl")[0]
    )


def test_aggregates_of_tasks_do_not_count():
    rows = [{"val/a/error": 1.0, "val/mean/error": 1.0, "val/worst/error": 1.0}]
    assert list(measures_of(rows)) == ["val/a/error"]
