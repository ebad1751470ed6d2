"""Hypervolume: numbers checked by hand, a plain twin, the reference point and the history."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtsearch.config.schema import Objective
from mtsearch.pareto import hypervolume, hypervolume_series, reference_point
from tests.helpers.synthetic_search import OBJECTIVES


def plain_hypervolume(points, reference):
    """The plain twin for points on whole numbers: count the unit cells that some point
    dominates."""
    k = len(reference)
    return sum(
        any(all(p[d] <= cell[d] for d in range(k)) for p in points)
        for cell in np.ndindex(*(int(r) for r in reference))
    )


@given(
    st.integers(1, 3).flatmap(
        lambda k: arrays(
            np.int64, st.tuples(st.integers(0, 8), st.just(k)), elements=st.integers(0, 6)
        )
    )
)
def test_the_hypervolume_is_the_number_of_cells_dominated(points):
    k = points.shape[1]
    assert hypervolume(points, ["min"] * k, [5] * k) == pytest.approx(
        plain_hypervolume(points, [5] * k)
    )


def test_a_staircase_by_hand():
    # 8 x 2 + 5 x 3 + 1 ... as rows: [2,7] adds 8*3, [4,6] adds 6*1, [5,5] adds 5*1, [7,4] adds 3*1
    assert hypervolume([[5, 5], [4, 6], [2, 7], [7, 4]], ["min", "min"], [10, 10]) == pytest.approx(
        8 * 3 + 6 + 5 + 3
    )


def test_maximised_objectives_count_from_below():
    assert hypervolume([[0.2, 80.0]], ["min", "max"], [1.0, 0.0]) == pytest.approx(0.8 * 80)


def test_points_beyond_the_reference_or_not_finite_add_nothing():
    assert hypervolume([[0.5, 2.0], [math.nan, 0.1], [0.5, -math.inf]], ["min", "min"], [1, 1]) == 0
    assert hypervolume([], ["min", "min"], [1, 1]) == 0


def test_the_reference_is_the_spaces_then_the_metrics_then_the_worst_seen():
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
    assert found.ideals == (0, 0, 100, None) and found.box is None


def test_the_box_spans_from_the_reference_to_the_ideal():
    assert reference_point(OBJECTIVES).box == pytest.approx(100 * 100 * 1)


def test_a_regressions_error_has_no_worst_value():
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
def test_the_series_never_falls(cloud):
    series = hypervolume_series(cloud, ["min"] * 3, [100, 100, 1])
    assert len(series) == len(cloud) and all(b >= a - 1e-9 for a, b in pairwise(series))
