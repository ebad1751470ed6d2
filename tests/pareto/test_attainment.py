"""Attainment surfaces against counting sets on a grid."""

import numpy as np
import pytest

from mtsearch.pareto.attainment import attainment_surface, seed_sets
from tests.pareto.test_seeds import TWO, row, seeded


def attained(sets, goals, z):
    """How many sets have a point that is at least as good as z, counted one by one."""
    signs = np.array([-1 if goal == "max" else 1 for goal in goals])
    return sum(any((signs * p <= signs * z).all() for p in points) for points in sets)


@pytest.mark.parametrize("goals", [("min", "min"), ("min", "max"), ("max", "min", "max")])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_surface_bounds_what_enough_sets_attain(goals, count):
    draw = np.random.default_rng(count)
    sets = [draw.integers(0, 6, (4, len(goals))).astype(float) for _ in range(5)]
    surface = attainment_surface(sets, goals, count)
    axes = [np.arange(-1, 7)] * len(goals)
    for z in np.stack(np.meshgrid(*axes), -1).reshape(-1, len(goals)):
        assert (attained(sets, goals, z) >= count) == bool(attained([surface], goals, z))


def test_equal_sets_attain_their_points():
    points = np.array([[1.0, 3.0], [2.0, 1.0]])
    for count in (1, 2, 3):
        surface = attainment_surface([points] * 3, ("min", "min"), count)
        assert sorted(map(tuple, surface)) == [(1.0, 3.0), (2.0, 1.0)]


def test_sets_are_those_of_common_seeds():
    groups = [
        seeded("0000", [(1, 2), (3, 4)]),
        [*seeded("0001", [(5, 6)]), row("0001.s2", 2, 7, 8)],
    ]
    (only,) = seed_sets(groups, TWO)
    assert only.tolist() == [[1, 2], [5, 6]]
    assert seed_sets([], TWO) == []
