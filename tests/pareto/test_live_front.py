"""The front while a search runs equals the front computed at once, and its hypervolume never
falls."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto import LiveFront, front_rows, hypervolume
from mtsearch.pareto.live_front import SETTLED
from tests.helpers.synthetic_search import OBJECTIVES, TWO

PARAMS = Objective(metric="model/params", goal="min")
clouds = arrays(
    np.float64,
    st.tuples(st.integers(0, 14), st.just(3)),
    elements=st.sampled_from([0.0, 1.0, 2.0, 5.0, math.nan]),
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


@given(clouds)
def test_it_is_the_front_of_all_trials_so_far_at_every_step(cloud):
    rows = rows_of(cloud, OBJECTIVES)
    bound = (Constraint(metric=OBJECTIVES[0].metric, max=4.0),)
    live, on = LiveFront(OBJECTIVES, bound), set()
    for i, row in enumerate(rows, 1):
        gone = live.add(row["trial"], row)
        on = (on | {row["trial"]}) - set(gone)
        expected = [r["trial"] for r in front_rows(rows[:i], OBJECTIVES, bound)]
        assert sorted(live.keys) == expected == sorted(on)


@given(clouds)
def test_its_hypervolume_is_that_of_all_trials_so_far(cloud):
    live = LiveFront(OBJECTIVES)
    for i, row in enumerate(rows_of(cloud, OBJECTIVES), 1):
        live.add(row["trial"], row)
        expected = hypervolume(cloud[:i], ["min"] * 3, [100, 100, 1])
        assert (
            live.hypervolume == pytest.approx(expected)
            if live.keys
            else math.isnan(live.hypervolume)
        )


@given(arrays(np.float64, st.tuples(st.integers(0, 20), st.just(2)), elements=st.floats(0, 1e6)))
def test_without_a_worst_value_the_reference_stands_after_five_trials_and_the_hypervolume_never_falls(
    cloud,
):
    objectives = [PARAMS, TWO[1]]
    live, seen = LiveFront(objectives), []
    for row in rows_of(cloud, objectives):
        live.add(row["trial"], row)
        seen.append(live.hypervolume)
    assert all(math.isnan(value) for value in seen[: SETTLED - 1])
    assert all(
        later >= earlier - 1e-9 * abs(earlier) for earlier, later in pairwise(seen[SETTLED - 1 :])
    )


def test_the_reference_is_the_worst_of_the_first_five_and_a_tenth_of_their_range():
    live = LiveFront([PARAMS])
    for i, value in enumerate([100, 200, 150, 120, 180, 900]):
        live.add(str(i), {"model/params": value})
    assert live.reference.values == pytest.approx((210,)) and live.hypervolume == pytest.approx(110)
