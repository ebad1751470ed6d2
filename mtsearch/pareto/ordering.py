"""One order of trials by several objectives: by layers of non-domination, and inside a layer so
that the first trials cover all of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtsearch.pareto.dominance import rank, to_minimise


def best_first(
    points: ArrayLike, goals: Sequence[str], excess: ArrayLike | None = None
) -> NDArray[np.int64]:
    """The indices (n,) of the points (n, k), the best first; the first m are a good selection for
    every m.

    A point comes before those of later layers (`rank`). Inside a layer the points are spread: first
    the best in the first objective, then always the one that is farthest from all taken so far,
    each objective scaled to its range in the layer: a greedy epsilon-net (Salinas et al. 2021, "A
    multi-objective perspective on jointly tuning hardware and hyperparameters"). Ties go to the
    earlier point.

    Args:
        points: the objectives; a point with a value that is not finite comes after all others.
        goals: `min` or `max` per objective.
        excess: (n,) by how much each point breaks its constraints, 0 where it satisfies them.
            Points that break one come after those that satisfy all, in increasing order of excess
            (constrained domination, Deb et al. 2002).
    """
    array = to_minimise(points, goals)
    broken = (
        np.zeros(len(array))
        if excess is None
        else np.nan_to_num(np.asarray(excess, dtype=np.float64), nan=np.inf)
    )
    inside = np.flatnonzero(broken <= 0)
    layers = rank(array[inside], ["min"] * len(goals))
    found = [
        inside[layers == layer][_spread(array[inside][layers == layer])]
        for layer in range(int(layers.max(initial=-1)) + 1)
    ]
    outside = np.flatnonzero(broken > 0)
    found.append(outside[np.argsort(broken[outside], kind="stable")])
    return np.concatenate(found).astype(np.int64)


def _spread(layer: NDArray[np.float64]) -> NDArray[np.int64]:
    """The order of a layer's points (n, k), each the farthest from those before it."""
    if not np.isfinite(layer).all():
        return np.arange(len(layer))
    span = np.ptp(layer, axis=0)
    scaled = (layer - layer.min(axis=0)) / np.where(span > 0, span, 1.0)
    order = [int(np.argmin(scaled[:, 0]))]
    distance = np.linalg.norm(scaled - scaled[order[0]], axis=1)
    distance[order[0]] = -1.0
    while len(order) < len(layer):
        order.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(scaled - scaled[order[-1]], axis=1))
        distance[order] = -1.0
    return np.array(order, dtype=np.int64)
