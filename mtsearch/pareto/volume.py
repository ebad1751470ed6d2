"""The hypervolume of points: exact where that is fast, a Monte-Carlo estimate elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import ArrayLike

from mtsearch.pareto.constraints import Floats, Mask
from mtsearch.pareto.dominance import non_dominated, to_minimise

EXACT_POINTS = {5: 1000, 6: 150, 7: 70, 8: 40, 9: 25, 10: 20}
"""The largest front, by number of objectives, whose hypervolume is computed exactly: within about
20 ms. Up to 4 objectives it always is; above 10 never."""
SAMPLES = 20_000
"""Random points of an estimate."""
_CELLS = 4_000_000  # comparisons at a time, which bounds the memory of an estimate


@dataclass(frozen=True)
class Hypervolume:
    """A hypervolume. `error` is the standard error of a Monte-Carlo estimate, 0 where `value` is
    exact."""

    value: float
    error: float = 0.0


def hypervolume(points: ArrayLike, goals: Sequence[str], reference: Sequence[float]) -> float:
    """The value of `measure_hypervolume`.

    Example:
        >>> hypervolume([[1.0, 2.0], [2.0, 1.0]], ["min", "min"], [3.0, 3.0])
        3.0
    """
    return measure_hypervolume(points, goals, reference).value


def measure_hypervolume(
    points: ArrayLike, goals: Sequence[str], reference: Sequence[float]
) -> Hypervolume:
    """The volume that the points (n, k) dominate within the reference point (k,), in the product of
    the objectives' units (Zitzler & Thiele 1998).

    Points that are not finite or not better than the reference in every objective add nothing. The
    value is exact for up to 4 objectives and for fronts of at most `EXACT_POINTS`; above that it is
    estimated from `SAMPLES` random points (see `_estimate`), always the same ones for the same set
    of points.
    """
    array, corner = to_minimise(points, goals), to_minimise([reference], goals)[0]
    array = _inside(array, corner)
    if not len(array):
        return Hypervolume(0.0)
    if is_exact(len(array), len(corner)):
        return Hypervolume(float(moocore.hypervolume(array, ref=corner)))
    array = array[non_dominated(array, ["min"] * len(corner))]
    if is_exact(len(array), len(corner)):
        return Hypervolume(float(moocore.hypervolume(array, ref=corner)))
    _, weights = _samples(array, corner)
    spread = float(weights.std(ddof=1)) / math.sqrt(len(weights))
    return Hypervolume(float(weights.mean()), spread)


def hypervolume_series(
    points: ArrayLike, goals: Sequence[str], reference: Sequence[float]
) -> list[float]:
    """The hypervolume of the first 1, 2, ..., n points (n, k) under one reference; it never falls.

    Where the hypervolume of all points is an estimate, so is every entry, from the same random
    points; the last entry equals `hypervolume`.
    """
    array, corner = to_minimise(points, goals), to_minimise([reference], goals)[0]
    together = _inside(array, corner)
    final = together[non_dominated(together, ["min"] * len(corner))]
    if not is_exact(len(final), len(corner)):
        return _estimated_series(array, final, corner)
    front = np.empty((0, len(corner)))
    found: list[float] = []
    for point in array:
        candidates = np.vstack([front, point])
        mask = non_dominated(candidates, ["min"] * len(corner))
        front = candidates[mask]
        # a dominated point adds nothing
        changed = bool(mask[-1]) or not found
        found.append(hypervolume(front, ["min"] * len(corner), corner) if changed else found[-1])
    return found


def is_exact(points: int, objectives: int) -> bool:
    """Whether the hypervolume of that many non-dominated points is computed exactly."""
    return objectives <= 4 or points <= EXACT_POINTS.get(objectives, 0)


def _inside(array: Floats, corner: Floats) -> Floats:
    return array[_counted(array, corner)]


def _counted(array: Floats, corner: Floats) -> Mask:
    """The points that are finite and better than the reference in every objective."""
    return np.asarray(np.isfinite(array).all(axis=1) & (array < corner).all(axis=1))


def _samples(front: Floats, corner: Floats) -> tuple[Floats, Floats]:
    """Random points (N, k) of the dominated region, and a weight (N,) each whose mean is the
    region's volume.

    Each point is drawn uniformly from the box between a front's point and the reference, the box
    with a probability in proportion to its volume; with c boxes around the point and V the sum of
    their volumes, its weight is V / c (Karp, Luby & Madras 1989, "Monte-Carlo approximation
    algorithms for enumeration problems"). The front is sorted first, so that its order does not
    matter.
    """
    boxes = np.unique(front, axis=0)
    sides = corner - boxes
    logs = np.log(sides).sum(axis=1)
    shares = np.exp(logs - logs.max())
    total = math.exp(logs.max()) * float(shares.sum())
    generator = np.random.default_rng(0)
    chosen = generator.choice(len(boxes), size=SAMPLES, p=shares / shares.sum())
    samples = boxes[chosen] + generator.random((SAMPLES, len(corner))) * sides[chosen]
    step = -(-_CELLS // boxes.size)  # rounded up
    counts = np.concatenate(
        [
            (boxes[None] <= samples[i : i + step, None]).all(axis=2).sum(axis=1)
            for i in range(0, SAMPLES, step)
        ]
    )
    return samples, total / np.maximum(counts, 1)


def _estimated_series(array: Floats, final: Floats, corner: Floats) -> list[float]:
    """For each sample the first point that dominates it: one pass gives all entries."""
    samples, weights = _samples(final, corner)
    open_samples = np.arange(len(samples))
    total = 0.0
    found: list[float] = []
    for point, counts in zip(array, _counted(array, corner), strict=True):
        if counts:
            covered = (point <= samples[open_samples]).all(axis=1)
            total += float(weights[open_samples[covered]].sum())
            open_samples = open_samples[~covered]
        found.append(total / len(samples))
    return found
