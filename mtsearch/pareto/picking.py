"""Choosing one point of a front by its values: the knee, or the nearest to a preference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mtsearch.pareto.constraints import Floats
from mtsearch.pareto.dominance import non_dominated, to_minimise

KNEE_POINTS = 3
"""A knee needs at least as many different points: it lies between two others."""


def normalised(points: ArrayLike, goals: Sequence[str]) -> Floats:
    """The points (n, k), n >= 1, all finite, with every objective in [0, 1], 0 the best and 1 the
    worst among them; a constant objective is 0.

    Example:
        >>> normalised([[10.0, 0.8], [20.0, 0.9]], ["min", "max"]).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    array = to_minimise(points, goals) / 2  # the range of halves is finite
    low = array.min(axis=0)
    span = array.max(axis=0) - low
    return np.asarray((array - low) / np.where(span > 0, span, 1.0))


def distinct(points: ArrayLike, goals: Sequence[str]) -> int:
    """How many different points the front of `points` (n, k) has; equal points count once."""
    array = to_minimise(points, goals)
    return len(np.unique(array[non_dominated(points, goals)], axis=0))


def knee(points: ArrayLike, goals: Sequence[str]) -> int | None:
    """The index of the knee of the points (n, k): the point of their front that bulges furthest
    towards the ideal; None where the front has fewer than three different points.

    Points that are not finite or dominated are left out first. After normalisation to [0, 1] the
    knee is the point with the largest distance (1 - sum_i f_i) / sqrt(k) below the hyperplane
    through the k points at which one objective is worst and the others best. That is the knee of
    Das (1999, Structural Optimization 18), with the hyperplane through the unit points instead of
    through the single minimisers, which for more than two objectives need not span one. For two
    objectives both are the line between the front's two ends. Ties go to the smaller largest
    objective, then to the earlier point.

    Example:
        >>> knee([[0.0, 10.0], [2.0, 2.0], [10.0, 0.0]], ["min", "min"])
        1
    """
    if distinct(points, goals) < KNEE_POINTS:
        return None
    front = np.flatnonzero(non_dominated(points, goals))
    scaled = normalised(np.asarray(points, dtype=np.float64)[front], goals)
    return int(front[first_smallest(scaled.sum(axis=1), scaled.max(axis=1))])


def by_preference(points: ArrayLike, goals: Sequence[str], weights: Sequence[float]) -> int:
    """The index of the point of the front of `points` (n, k) with the smallest weighted Chebyshev
    distance max_i w_i f_i to the ideal, after normalisation to [0, 1].

    Points that are not finite or dominated are left out first. A larger weight asks for a better
    value of that objective. Ties go to the smaller weighted sum, then to the smaller plain sum,
    then to the earlier point (Miettinen 1999, section 3.4).

    Args:
        points: at least one of them finite.
        goals: `min` or `max` per objective.
        weights: (k,) numbers of at least 0.

    Raises:
        ValueError: no point is finite.

    Example:
        >>> by_preference([[0.0, 10.0], [2.0, 2.0], [10.0, 0.0]], ["min", "min"], [0.9, 0.1])
        0
    """
    front = np.flatnonzero(non_dominated(points, goals))
    if not len(front):
        raise ValueError("Parameter `points` should contain a finite point. Found none.")
    scaled = normalised(np.asarray(points, dtype=np.float64)[front], goals)
    weighted = scaled * np.asarray(weights, dtype=np.float64)
    return int(
        front[first_smallest(weighted.max(axis=1), weighted.sum(axis=1), scaled.sum(axis=1))]
    )


def first_smallest(*keys: Floats) -> int:
    """The index of the smallest entry by the first key (n,), ties by the next ones, then the
    earliest."""
    # rounding keeps a tie a tie where sums differ in the last bit only
    return int(np.lexsort([np.round(key, 12) for key in reversed(keys)])[0])
