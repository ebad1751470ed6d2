"""The order of trials by several objectives: layers, spread inside a layer, constraints first."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtsearch.pareto import best_first, rank

values = st.sampled_from([0.0, 1.0, 2.0, 3.0, 7.0, math.nan, math.inf])
clouds = arrays(np.float64, st.tuples(st.integers(0, 12), st.just(2)), elements=values)


@given(clouds)
def test_order_is_by_layers(cloud):
    order = best_first(cloud, ["min", "max"])
    assert sorted(order) == list(range(len(cloud)))
    layers = rank(cloud, ["min", "max"])[order] if len(cloud) else []
    assert list(layers) == sorted(layers)


@given(clouds, st.data())
def test_infeasible_points_come_last_by_excess(cloud, data):
    excess = np.array(
        data.draw(
            st.lists(
                st.sampled_from([0.0, -1.0, 0.5, 2.0, math.inf]),
                min_size=len(cloud),
                max_size=len(cloud),
            )
        )
    )
    order = best_first(cloud, ["min", "min"], excess)
    sizes = np.maximum(excess, 0)[order]
    assert list(sizes) == sorted(sizes) and sorted(order) == list(range(len(cloud)))


@given(clouds.filter(lambda c: np.isfinite(c).all()), st.floats(0.1, 50), st.floats(-5, 5))
def test_order_does_not_depend_on_units(cloud, scale, shift):
    moved = cloud * [scale, 1.0] + [shift, 0.0]
    if len(np.unique(moved[:, 0])) == len(
        np.unique(cloud[:, 0])
    ):  # no value was rounded onto another
        first, second = best_first(cloud, ["min", "min"]), best_first(moved, ["min", "min"])
        assert np.array_equal(rank(cloud, ["min"] * 2)[first], rank(cloud, ["min"] * 2)[second])


def test_layer_is_ordered_from_its_ends():
    line = np.array([[0, 4], [1, 3], [2, 2], [3, 1], [4, 0]], dtype=float)
    assert list(best_first(line, ["min", "min"])) == [0, 4, 2, 1, 3]


def plain_spread(layer):
    """The next point is the one whose nearest taken point is farthest."""
    span = np.ptp(layer, axis=0)
    scaled = (layer - layer.min(axis=0)) / np.where(span > 0, span, 1)
    taken = [min(range(len(layer)), key=lambda i: scaled[i, 0])]
    while len(taken) < len(layer):
        left = [i for i in range(len(layer)) if i not in taken]
        taken.append(
            max(left, key=lambda i: min(np.linalg.norm(scaled[i] - scaled[j]) for j in taken))
        )
    return taken


def test_spread_is_the_greedy_epsilon_net():
    generator = np.random.default_rng(3)
    for count in (1, 2, 7, 30):
        angle = generator.uniform(0, np.pi / 2, count)
        layer = np.stack(
            [1 - np.cos(angle), 1 - np.sin(angle)], axis=1
        )  # no point dominates another
        assert list(best_first(layer, ["min", "min"])) == plain_spread(layer)
