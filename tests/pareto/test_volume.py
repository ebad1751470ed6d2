"""Hypervolume: values computed by hand and by counting cells, estimates, the reference point."""

import math
import time
from itertools import pairwise

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtsearch.config.schema import Objective
from mtsearch.pareto import (
    hypervolume,
    hypervolume_series,
    measure_hypervolume,
    non_dominated,
    rank,
    reference_point,
)
from mtsearch.pareto.volume import EXACT_POINTS, is_exact
from tests.helpers.synthetic_search import OBJECTIVES


def plain_hypervolume(points, reference):
    """For points on whole numbers: the number of unit cells that some point dominates."""
    k = len(reference)
    return sum(
        any(all(p[d] <= cell[d] for d in range(k)) for p in points)
        for cell in np.ndindex(*(int(r) for r in reference))
    )


@given(
    st.integers(1, 5).flatmap(
        lambda k: arrays(
            np.int64, st.tuples(st.integers(0, 8), st.just(k)), elements=st.integers(0, 4)
        )
    )
)
def test_hypervolume_equals_the_number_of_dominated_cells(points):
    k = points.shape[1]
    assert hypervolume(points, ["min"] * k, [3] * k) == pytest.approx(
        plain_hypervolume(points, [3] * k)
    )


def test_hypervolume_of_a_staircase():
    # 8 x 2 + 5 x 3 + 1 ... as rows: [2,7] adds 8*3, [4,6] adds 6*1, [5,5] adds 5*1, [7,4] adds 3*1
    assert hypervolume([[5, 5], [4, 6], [2, 7], [7, 4]], ["min", "min"], [10, 10]) == pytest.approx(
        8 * 3 + 6 + 5 + 3
    )


def test_hypervolume_of_a_maximised_objective():
    assert hypervolume([[0.2, 80.0]], ["min", "max"], [1.0, 0.0]) == pytest.approx(0.8 * 80)


def test_points_beyond_the_reference_add_nothing():
    assert hypervolume([[0.5, 2.0], [math.nan, 0.1], [0.5, -math.inf]], ["min", "min"], [1, 1]) == 0
    assert hypervolume([], ["min", "min"], [1, 1]) == 0


def test_reference_is_objective_then_metric_then_worst():
    objectives = [
        Objective(metric="val/image/error", goal="min", reference=60.0),
        Objective(metric="model/density", goal="min"),
        Objective(metric="model/sparsity_rate", goal="max"),
        Objective(metric="model/params", goal="min"),
    ]
    found = reference_point(objectives, [[50, 0.5, 20, 100], [40, 0.7, 10, 300]])
    assert found.values == pytest.approx(
        (60, 1, 0, 320)
    )  # the worst, and a tenth of the range beyond it
    assert found.origins == ("objective", "metric", "metric", "worst seen")
    assert found.ideals == (0, 0, 100, 0)
    assert found.box == pytest.approx(60 * 1 * 100 * 320)


@pytest.mark.parametrize("name", ["nonzero", "params", "trainable", "macs"])
def test_sizes_have_the_ideal_zero(name):
    size = Objective(metric=f"model/{name}", goal="min")
    found = reference_point([*OBJECTIVES[:2], size], [[50, 40, 1e6], [40, 50, 2e6]])
    assert found.values[2] == pytest.approx(2.1e6) and found.ideals[2] == 0
    assert found.box == pytest.approx(100 * 100 * 2.1e6)
    value = hypervolume([[50, 40, 1e6]], ["min"] * 3, found.values)
    assert value / found.box == pytest.approx(0.5 * 0.6 * 1.1 / 2.1)


def test_latency_and_maximised_sizes_have_no_ideal():
    latency = Objective(metric="model/latency", goal="min")
    largest = Objective(metric="model/params", goal="max")
    found = reference_point([latency, largest], [[3.0, 100], [2.0, 200]])
    assert found.ideals == (None, None) and found.box is None


def test_box_spans_from_reference_to_ideal():
    assert reference_point(OBJECTIVES).box == pytest.approx(100 * 100 * 1)


def test_regression_error_has_no_worst_value():
    objective = [Objective(metric="val/depth/error", goal="min")]
    assert reference_point(objective, [[2.0], [1.0]]).values == (100.0,)
    found = reference_point(objective, [[2.0], [1.0]], {"depth": "regression"})
    assert found.values == pytest.approx((2.1,)) and found.origins == ("worst seen",)


points = arrays(
    np.float64,
    st.tuples(st.integers(0, 12), st.just(3)),
    elements=st.floats(0, 120, allow_nan=False),
)


@given(points)
def test_series_never_falls(cloud):
    series = hypervolume_series(cloud, ["min"] * 3, [100, 100, 1])
    assert len(series) == len(cloud) and all(b >= a - 1e-9 for a, b in pairwise(series))


@given(st.integers(0, 10**6), st.integers(2, 5))
def test_series_equals_hypervolume_of_every_prefix(seed, k):
    cloud = np.random.default_rng(seed).random((9, k))
    goals = ["min"] * (k - 1) + ["max"]
    corner = [1.0] * (k - 1) + [0.0]
    assert hypervolume_series(cloud, goals, corner) == pytest.approx(
        [hypervolume(cloud[: i + 1], goals, corner) for i in range(len(cloud))]
    )


def sphere(n, k, seed=0):
    """Points of which none dominates another."""
    points = np.abs(np.random.default_rng(seed).normal(size=(n, k)))
    return 1 - points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.mark.parametrize(("k", "n"), [(6, 180), (7, 100), (8, 50), (9, 40), (10, 25)])
def test_estimate_is_within_its_standard_error(k, n):
    points, corner = sphere(n, k), [1.1] * k
    found = measure_hypervolume(points, ["min"] * k, corner)
    exact = moocore.hypervolume(points, ref=np.array(corner))
    assert 0 < found.error < 0.02 * exact
    assert abs(found.value - exact) < 4 * found.error


def test_estimate_does_not_depend_on_the_order():
    points, goals, corner = sphere(60, 9), ["min"] * 9, [1.1] * 9
    shuffled = points[np.random.default_rng(2).permutation(60)]
    repeated = np.vstack([shuffled, shuffled[:5], shuffled[:3] + 0.05])
    first = measure_hypervolume(points, goals, corner)
    assert first == measure_hypervolume(shuffled, goals, corner)
    assert first == measure_hypervolume(repeated, goals, corner)


def test_estimated_series_rises_to_the_estimate():
    points, goals, corner = sphere(60, 9), ["min"] * 9, [1.1] * 9
    series = hypervolume_series(np.vstack([points, [[math.nan] * 9]]), goals, corner)
    assert len(series) == 61 and all(b >= a for a, b in pairwise(series))
    assert series[-1] == pytest.approx(hypervolume(points, goals, corner))
    exact = [moocore.hypervolume(points[:i], ref=np.array(corner)) for i in (1, 5, 20)]
    assert [series[i - 1] for i in (1, 5, 20)] == pytest.approx(exact, rel=0.1)


def test_few_points_stay_exact():
    for k, most in EXACT_POINTS.items():
        assert is_exact(most, k) and not is_exact(most + 1, k)
    assert is_exact(10**6, 4) and not is_exact(1, 11)
    assert measure_hypervolume(sphere(25, 9), ["min"] * 9, [1.1] * 9).error == 0


def test_estimate_is_the_mean_of_20000_weights():
    """Two boxes a, b that overlap: of N points in a or b, those in both weigh half (Karp, Luby &
    Madras 1989), so that the variance of the mean is V^2 p (1 - p) / (4 N), with p the share of
    points in both."""
    k, corner = 11, [1.0] * 11
    points = np.zeros((2, k))
    points[0, 0] = points[1, 1] = 0.5  # V = 1/2 + 1/2; each box is half covered by the other
    found = measure_hypervolume(points, ["min"] * k, corner)
    share = 2 - 2 * found.value  # value = V (1 - p / 2)
    assert share == pytest.approx(0.5, abs=0.02)
    variance = share * (1 - share) / 4 / (20_000 - 1)
    assert found.error == pytest.approx(math.sqrt(variance), rel=1e-9)


@pytest.mark.parametrize("k", [9, 41])
def test_many_objectives_do_not_hang(k):
    points, goals, corner = sphere(300, k), ["min"] * k, [1.1] * k
    start = time.perf_counter()
    assert non_dominated(points, goals).all() and not rank(points, goals).any()
    found = measure_hypervolume(points, goals, corner)
    series = hypervolume_series(points, goals, corner)
    assert time.perf_counter() - start < 20
    assert found.value == pytest.approx(series[-1]) and found.error < 0.05 * found.value
