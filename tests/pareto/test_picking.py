"""The knee of a front and its nearest point to a preference."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtsearch.pareto import by_preference, knee, non_dominated, normalised
from mtsearch.pareto.picking import first_smallest

LINE = [[0, 10], [1, 4], [5, 1], [9, 0.5], [10, 0]]
"""Normalised: (0, 1) (.1, .4) (.5, .1) (.9, .05) (1, 0)."""
BROKEN = [[math.nan, 0], [-math.inf, 0], [0, math.inf]]

clouds = st.integers(1, 4).flatmap(
    lambda k: st.tuples(
        arrays(
            np.float64,
            st.tuples(st.integers(0, 9), st.just(k)),
            elements=st.sampled_from([0.0, 1.0, 2.0, 3.0, -1.5, 1e9, math.nan, math.inf]),
        ),
        st.lists(st.sampled_from(["min", "max"]), min_size=k, max_size=k),
    )
)


def test_knee_of_two_objectives():
    assert knee(LINE, ["min", "min"]) == 1
    assert knee([[-a, b] for a, b in LINE], ["max", "min"]) == 1


def test_knee_of_three_objectives():
    # normalised sums: 2, 2, 2, 0.9, 1.2
    points = [[0, 1, 1], [1, 0, 1], [1, 1, 0], [0.3, 0.3, 0.3], [0.2, 0.5, 0.5]]
    assert knee(points, ["min"] * 3) == 3


def test_knee_of_a_straight_front_is_its_middle():
    assert knee([[0, 4], [1, 3], [2, 2], [3, 1], [4, 0]], ["min", "min"]) == 2


@given(st.floats(1e-6, 1e6), st.floats(-1e6, 1e6))
def test_knee_does_not_depend_on_units(scale, shift):
    points = [[a * scale + shift, b] for a, b in [[0, 10], [1, 4], [5, 1], [10, 0]]]
    assert knee(points, ["min", "min"]) == 1


@pytest.mark.parametrize(
    "points", [[], [[3, 3]], [[0, 1], [1, 0]], [[0, 1], [1, 0], [0, 1]], [[2, 2]] * 5, BROKEN]
)
def test_knee_needs_three_different_points(points):
    assert knee(points, ["min", "min"]) is None


def test_dominated_and_infinite_points_change_nothing():
    worse = [*BROKEN, [50, 60], [1, 4.5], [1000, 0]]
    assert knee([*worse, *LINE], ["min", "min"]) == len(worse) + 1
    assert by_preference([*worse, *LINE], ["min", "min"], [0.2, 0.8]) == len(worse) + 2


def test_constant_objective_does_not_count():
    points = [[a, b, 7.0] for a, b in LINE]
    assert knee(points, ["min"] * 3) == 1 and by_preference(points, ["min"] * 3, [0, 0, 1]) == 1


@given(clouds)
def test_chosen_points_are_on_the_front(cloud):
    points, goals = cloud
    mask = non_dominated(points, goals)
    index = knee(points, goals)
    different = {tuple(point) for point in (points[mask] + 0.0).tolist()}
    assert (index is None) == (len(different) < 3)
    assert index is None or mask[index]
    if mask.any():
        assert mask[by_preference(points, goals, [1.0] * len(goals))]
    else:
        with pytest.raises(ValueError, match="a finite point"):
            by_preference(points, goals, [1.0] * len(goals))


def test_normalisation_is_by_the_range_of_each_objective():
    found = normalised([[1, 5, 2], [3, 5, 1]], ["min", "min", "max"])
    assert found.tolist() == [[0, 0, 0], [1, 0, 1]]


def test_preference_takes_the_smallest_weighted_chebyshev_distance():
    goals = ["min", "min"]
    assert by_preference(LINE, goals, [0.5, 0.5]) == 1  # the largest terms: .5 .2 .25 .45 .5
    assert by_preference(LINE, goals, [0.2, 0.8]) == 2  # .8 .32 .1 .18 .2
    # .9 .36 .09 .09 .1, then the smaller weighted sum: .14 or .135
    assert by_preference(LINE, goals, [0.1, 0.9]) == 3
    assert by_preference(LINE, goals, [1, 0]) == 0
    assert by_preference(LINE, goals, [0, 1]) == 4


def test_normalisation_of_a_range_beyond_float64():
    points = [[-1.5e308, 2.0], [1.5e308, 2.0], [0.0, 2.0]]
    assert normalised(points, ["min", "min"]).tolist() == [[0.0, 0.0], [1.0, 0.0], [0.5, 0.0]]


def test_rounding_errors_leave_a_tie():
    """Keys that differ by 3e-13 are equal, and the next key decides; 3e-12 is a difference."""
    assert first_smallest(np.array([1.0, 1 - 3e-13]), np.array([1.0, 2.0])) == 0
    assert first_smallest(np.array([1.0, 1 - 3e-12]), np.array([1.0, 2.0])) == 1
