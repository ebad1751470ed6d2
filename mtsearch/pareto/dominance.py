"""Dominance between points: the non-dominated ones and the layers below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtsearch.config.schema import Objective
from mtsearch.pareto.columns import number
from mtsearch.pareto.constraints import Floats, Mask


def to_minimise(points: ArrayLike, goals: Sequence[str]) -> Floats:
    """The points with every objective to be minimised: maximised columns change their sign.

    `points` has shape (n, k), `goals` contains k words, `min` or `max`. Raises ValueError when
    they do not fit.
    """
    array = np.asarray(points, dtype=np.float64)
    if array.size == 0:
        array = array.reshape(0, len(goals))
    if array.ndim != 2 or array.shape[1] != len(goals):
        raise ValueError(
            f"Parameter `points` should have shape (n, {len(goals)}). Found {array.shape}."
        )
    if unknown := set(goals) - {"min", "max"}:
        raise ValueError(
            f"Parameter `goals` should contain `min` and `max` only. Found {sorted(unknown)}."
        )
    return array * np.where(np.asarray(goals) == "max", -1.0, 1.0)


def non_dominated(points: ArrayLike, goals: Sequence[str]) -> Mask:
    """Which of the points (n, k) no other point dominates, as a mask (n,).

    A point dominates another when it is nowhere worse and somewhere better. Equal points do not
    dominate each other, so duplicates stay together; a point with a value that is not finite is
    never on the front and dominates nothing.

    Example:
        >>> non_dominated([[1.0, 5.0], [2.0, 2.0], [3.0, 4.0]], ["min", "min"]).tolist()
        [True, True, False]
    """
    array = to_minimise(points, goals)
    mask: Mask = np.asarray(np.isfinite(array).all(axis=1))
    if mask.any():
        mask[mask] = moocore.is_nondominated(array[mask], keep_weakly=True)
    return mask


def rank(points: ArrayLike, goals: Sequence[str]) -> NDArray[np.int64]:
    """The layer of each point in non-dominated sorting (Deb et al. 2002), as integers (n,): 0 is
    the front, 1 the front without it, and so on.

    Points with a value that is not finite share one layer behind all others.

    Example:
        >>> rank([[1.0, 5.0], [2.0, 2.0], [3.0, 4.0]], ["min", "min"]).tolist()
        [0, 0, 1]
    """
    array = to_minimise(points, goals)
    finite = np.isfinite(array).all(axis=1)
    ranks = np.zeros(len(array), dtype=np.int64)
    if finite.any():
        ranks[finite] = moocore.pareto_rank(array[finite])
        ranks[~finite] = ranks[finite].max() + 1
    return ranks


def objective_values(rows: Sequence[Mapping[str, Any]], objectives: Sequence[Objective]) -> Floats:
    """The objectives of rows as an array (n, k), NaN where a row has none."""
    return np.array(
        [[number(row, o.metric) for o in objectives] for row in rows], dtype=np.float64
    ).reshape(len(rows), len(objectives))
