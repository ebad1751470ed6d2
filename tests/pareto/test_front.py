"""The front that a search builds trial by trial equals the front of its final tables."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto import (
    Front,
    constraint_excess,
    front_of,
    front_rows,
    hypervolume,
    search_result,
)
from tests.helpers.synthetic_search import OBJECTIVES, TWO

PARAMS = Objective(metric="model/params", goal="min")
PSNR = Objective(metric="val/image/psnr", goal="max")
SIX = [Objective(metric=f"val/t{i}/loss", goal="min" if i % 2 else "max") for i in range(12)]


def clouds(k, most=14, elements=(0.0, 1.0, 2.0, 5.0, math.nan, math.inf)):
    return arrays(
        np.float64,
        st.tuples(st.integers(0, most), st.just(k)),
        elements=st.sampled_from(elements),
    )


def rows_of(cloud, objectives):
    return [
        {
            "trial": f"{i:04d}",
            "kind": "search",
            "state": "done",
            **{o.metric: float(v) for o, v in zip(objectives, point, strict=True)},
        }
        for i, point in enumerate(cloud)
    ]


@given(clouds(3))
def test_front_equals_recomputation_after_every_trial(cloud):
    rows = rows_of(cloud, OBJECTIVES)
    bound = (Constraint(metric=OBJECTIVES[0].metric, max=4.0),)
    live, on = Front(OBJECTIVES, bound), set()
    for i, row in enumerate(rows, 1):
        removed = live.add(row["trial"], row)
        on = (on | {row["trial"]}) - set(removed)
        expected = [r["trial"] for r in front_rows(rows[:i], OBJECTIVES, bound)]
        assert live.keys == expected == sorted(on)
        inside = (constraint_excess(front_rows(rows[:i], OBJECTIVES, bound), bound) <= 0).all()
        assert inside and live.points.shape == (len(expected), 3)


@pytest.mark.parametrize("objectives", [OBJECTIVES, [PARAMS, PSNR], [PARAMS, TWO[1], PSNR]])
@given(data=st.data())
def test_live_front_equals_final_result_in_any_order(objectives, data):
    cloud = data.draw(clouds(len(objectives), elements=(-3.0, 0.0, 1.0, 2.5, 7.0, math.nan)))
    rows = rows_of(cloud, objectives)
    final = search_result(rows, [], objectives)
    live = Front(objectives)
    for row in data.draw(st.permutations(rows)):
        live.add(row["trial"], row)
    assert sorted(live.keys) == sorted(row["trial"] for row in final.front_rows)
    np.testing.assert_equal(live.reference.values, final.front.reference.values)
    if live.keys:
        assert live.hypervolume == pytest.approx(final.front.hypervolume)
        assert final.hypervolumes[-1] == pytest.approx(final.front.hypervolume)
    else:
        assert math.isnan(live.hypervolume) and math.isnan(final.front.hypervolume)
    assert final.knee is None or final.knee in final.front_rows


def test_live_and_final_estimate_agree_exactly():
    generator = np.random.default_rng(1)
    rows = rows_of(generator.random((90, 12)), SIX)
    final, live = search_result(rows, [], SIX).front, Front(SIX)
    for row in rows[::-1]:
        live.add(row["trial"], row)
    assert live.hypervolume_error > 0
    assert (live.hypervolume, live.hypervolume_error) == pytest.approx(
        (final.hypervolume, final.hypervolume_error), rel=1e-12
    )


@given(clouds(3))
def test_hypervolume_is_that_of_all_trials_so_far(cloud):
    live = Front(OBJECTIVES)
    for i, row in enumerate(rows_of(cloud, OBJECTIVES), 1):
        live.add(row["trial"], row)
        expected = hypervolume(cloud[:i], ["min"] * 3, [100, 100, 1])
        if live.keys:
            assert live.hypervolume == pytest.approx(expected)
        else:
            assert math.isnan(live.hypervolume)


def test_reference_without_worst_value_follows_the_worst_trial():
    live = Front([PARAMS])
    for i, value in enumerate([100, 200, 150, 120, 180]):
        live.add(str(i), {"model/params": value})
    assert live.reference.values == pytest.approx((210,))
    assert live.hypervolume == pytest.approx(110) and live.reference.box == pytest.approx(210)
    live.add("5", {"model/params": 900})
    assert live.reference.values == pytest.approx((980,))
    assert live.hypervolume == pytest.approx(880)


def test_table_front_has_row_indices_as_keys():
    rows = rows_of([[1, 2], [2, 1], [3, 3]], TWO)
    rows.insert(0, {**rows[0], "state": "stopped"})
    rows.insert(0, {**rows[1], "kind": "control"})
    front = front_of(rows, TWO)
    assert front.keys == [2, 3] and front.goals == ["min", "min"] and front.knee is None
    assert front_of([], TWO).keys == [] and math.isnan(front_of([], TWO).hypervolume)


def test_knee_key_needs_three_different_points():
    front = Front(TWO)
    for key, point in {"a": [0, 10], "b": [10, 0], "c": [10, 0]}.items():
        front.add(key, dict(zip([o.metric for o in TWO], point, strict=True)))
    assert front.knee is None
    front.add("d", {TWO[0].metric: 1, TWO[1].metric: 1})
    assert front.knee == "d"
