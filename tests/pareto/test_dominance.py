"""Dominance: the front and its layers against a slow computation, and the properties of
every front."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtsearch.config.schema import Constraint
from mtsearch.pareto import feasible, front_rows, non_dominated, rank
from tests.helpers.synthetic_search import OBJECTIVES, TWO, search


def dominates(a, b, goals):
    better = [(x > y) if goal == "max" else (x < y) for x, y, goal in zip(a, b, goals, strict=True)]
    worse = [(x < y) if goal == "max" else (x > y) for x, y, goal in zip(a, b, goals, strict=True)]
    return any(better) and not any(worse)


def plain_front(points, goals):
    """Compares every pair; points that are not finite do not count."""
    finite = [bool(np.isfinite(p).all()) for p in points]
    return [
        finite[i] and not any(finite[j] and dominates(q, p, goals) for j, q in enumerate(points))
        for i, p in enumerate(points)
    ]


def plain_rank(points, goals):
    """Removes the front until no finite point is left."""
    left = {i for i, p in enumerate(points) if np.isfinite(p).all()}
    ranks = dict.fromkeys(range(len(points)), -1)
    layer = 0
    while left:
        front = {i for i in left if not any(dominates(points[j], points[i], goals) for j in left)}
        ranks.update(dict.fromkeys(front, layer))
        left -= front
        layer += 1
    return [layer if r == -1 else r for r in ranks.values()]


# few distinct values, so that ties, duplicates and values that are not finite are common
numbers = st.sampled_from([0.0, 1.0, 2.0, 3.0, -1.5, 1e-9, 1e15, math.nan, math.inf, -math.inf])


@st.composite
def clouds(draw, most=18):
    k = draw(st.integers(1, 5))
    goals = draw(st.lists(st.sampled_from(["min", "max"]), min_size=k, max_size=k))
    return draw(arrays(np.float64, (draw(st.integers(0, most)), k), elements=numbers)), goals


@given(clouds())
def test_front_equals_pairwise_comparison(cloud):
    points, goals = cloud
    assert non_dominated(points, goals).tolist() == plain_front(points, goals)


@given(clouds())
def test_layers_equal_repeated_fronts(cloud):
    points, goals = cloud
    assert rank(points, goals).tolist() == plain_rank(points, goals)


@given(clouds())
def test_front_dominates_all_other_points(cloud):
    points, goals = cloud
    mask = non_dominated(points, goals)
    front = points[mask]
    assert not any(dominates(a, b, goals) for a in front for b in front)
    for point in points[~mask & np.isfinite(points).all(axis=1)]:
        assert any(dominates(member, point, goals) for member in front)


@given(clouds(), st.randoms(use_true_random=False))
def test_front_follows_a_permutation(cloud, random):
    points, goals = cloud
    order = list(range(len(points)))
    random.shuffle(order)
    assert (
        non_dominated(points[order], goals).tolist() == non_dominated(points, goals)[order].tolist()
    )


@given(clouds())
def test_dominated_point_changes_nothing(cloud):
    points, goals = cloud
    mask = non_dominated(points, goals)
    if mask.any():
        worse = points[mask][0] + np.where(np.asarray(goals) == "max", -1.0, 1.0)
        if dominates(points[mask][0], worse, goals):
            assert non_dominated(np.vstack([points, worse]), goals).tolist() == [
                *mask.tolist(),
                False,
            ]


def test_duplicates_and_infinite_points():
    points = [[1, 2], [1, 2], [2, 1], [2, 2], [0, math.nan], [-math.inf, 0]]
    assert non_dominated(points, ["min", "min"]).tolist() == [True, True, True, False, False, False]
    assert rank(points, ["min", "min"]).tolist() == [0, 0, 0, 1, 2, 2]


def test_no_points_have_an_empty_front():
    assert non_dominated([], ["min", "max"]).tolist() == [] == rank([], ["min", "max"]).tolist()
    assert rank([[math.nan, 1]], ["min", "min"]).tolist() == [0]


def test_points_of_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(n, 2\)"):
        non_dominated([[1, 2, 3]], ["min", "min"])
    with pytest.raises(ValueError, match="lower"):
        rank([[1]], ["lower"])


def test_front_has_finished_search_trials_only():
    rows, _ = search()
    front = front_rows(rows, OBJECTIVES)
    assert front and all(row["state"] == "done" and row["kind"] == "search" for row in front)
    best = {"val/image/error": 0.0, "val/digit/error": 0.0, "model/density": 0.0}
    for change in (
        {"state": "stopped"},
        {"state": "failed"},
        {"state": "running"},
        {"kind": "control"},
        {"val/digit/error": math.nan},
    ):
        assert front_rows([*rows, {**rows[0], **best, **change}], OBJECTIVES) == front
    assert [
        row["trial"]
        for row in front_rows([*rows, {**rows[0], **best, "trial": "0024"}], OBJECTIVES)
    ] == ["0024"]


def test_front_rows_keep_their_order():
    rows, _ = search()
    names = [row["trial"] for row in front_rows(rows, TWO)]
    assert names == sorted(names)


def test_constraints_bound_the_front():
    rows = [{"a": 0.1}, {"a": 0.2}, {"a": 0.3}, {"a": math.nan}, {"a": None}, {}]
    assert feasible(rows, [Constraint(metric="a", max=0.2)]).tolist() == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert feasible(rows, [Constraint(metric="a", min=0.2)]).tolist() == [
        False,
        True,
        True,
        False,
        False,
        False,
    ]
    assert feasible(rows, []).all()
    rows, _ = search()
    bounded = front_rows(rows, TWO, [Constraint(metric="model/density", max=0.4)])
    assert bounded and max(row["model/density"] for row in bounded) <= 0.4
