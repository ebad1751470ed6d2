"""The expected hypervolume improvement of uncertain points."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from mtsearch.pareto import non_dominated

Floats = NDArray[np.float64]


def free_boxes(front: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """Disjoint boxes, as lower and upper corners (b, k), whose union is the region below the
    reference (k,) that no point of the front (n, k) dominates; all objectives are minimised.

    The region is cut at every point's last objective: between two cuts only the points before the
    cut count, in one objective less. The number of boxes grows as n^(k - 1).
    """
    front = front[(front < reference).all(axis=1)]
    lower, upper = _boxes(front, reference)
    return np.array(lower).reshape(-1, len(reference)), np.array(upper).reshape(-1, len(reference))


def _boxes(front: Floats, reference: Floats) -> tuple[list[list[float]], list[list[float]]]:
    k = len(reference)
    if k == 1:
        top = float(min(front[:, 0].min(initial=np.inf), reference[0]))
        return [[-np.inf]], [[top]]
    if not len(front):
        return [[-np.inf] * k], [[float(v) for v in reference]]
    lower: list[list[float]] = []
    upper: list[list[float]] = []
    cuts = np.unique(front[:, -1])
    edges = [-np.inf, *cuts.tolist(), float(reference[-1])]
    for begin, end in itertools.pairwise(edges):
        below = front[front[:, -1] <= begin][:, :-1]
        if len(below) > 1:
            below = np.unique(below, axis=0)
            below = below[non_dominated(below, ["min"] * (k - 1))]
        found = _boxes(below, reference[:-1])
        lower += [[*corner, begin] for corner in found[0]]
        upper += [[*corner, end] for corner in found[1]]
    return lower, upper


class Improvement:
    """The expected gain in hypervolume of points whose objectives are independent and uncertain
    (Emmerich, Giannakoglou & Naujoks 2006, as a sum over boxes).

    Args:
        front: (n, k) finite points; dominated ones change nothing.
        reference: (k,) the worst corner.
    """

    def __init__(self, front: Floats, reference: Floats) -> None:
        lower, upper = free_boxes(front, reference)
        self._edges, self._low, self._high = [], [], []
        for axis in range(len(reference)):
            edges, index = np.unique(
                np.concatenate([lower[:, axis], upper[:, axis]]), return_inverse=True
            )
            self._edges.append(edges)
            self._low.append(index[: len(lower)])
            self._high.append(index[len(lower) :])

    def __call__(self, values: Floats, weights: Floats) -> Floats:
        """The gains (m,) of m points.

        Args:
            values: (k, m, s) s possible values of every objective of every point.
            weights: (s,) their probabilities.
        """
        total: Floats | None = None
        for axis, edges in enumerate(self._edges):
            # E[(edge - value)+] at every edge, (m, e)
            gains = np.stack(
                [np.maximum(edge - values[axis], 0.0) @ weights for edge in edges], axis=1
            )
            sides = gains[:, self._high[axis]] - gains[:, self._low[axis]]
            total = sides if total is None else total * sides
        assert total is not None
        found: Floats = total.sum(axis=1)
        return found
