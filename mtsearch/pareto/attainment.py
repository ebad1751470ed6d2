"""Empirical attainment surfaces: which part of the objective space the fronts of how many seeds
reach (Grunert da Fonseca, Fonseca & Hall 2001)."""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import ArrayLike

from mtsearch.config.schema import Objective
from mtsearch.pareto.columns import Row
from mtsearch.pareto.constraints import Floats
from mtsearch.pareto.dominance import objective_values, to_minimise


def attainment_surface(sets: Sequence[ArrayLike], goals: Sequence[str], count: int) -> Floats:
    """The corners (m, k) of what at least `count` of the point sets dominate or equal, in the
    objectives' own directions.

    Args:
        sets: n arrays (m_i, k) of finite points, k of 2 or 3.
        goals: `min` or `max` per objective.
        count: of 1 to n sets: 1 gives the best surface, n the worst.
    """
    arrays = [to_minimise(points, goals) for points in sets]
    which = np.repeat(np.arange(1, len(arrays) + 1), [len(array) for array in arrays])
    # moocore rounds a level up to whole sets, so half a set less is safe from rounding
    level = 100 * (count - 0.5) / len(arrays)
    found = np.asarray(moocore.eaf(np.vstack(arrays), which, percentiles=[level]))
    return to_minimise(found[:, :-1], goals)  # its own inverse


def seed_sets(rows: Sequence[Sequence[Row]], objectives: Sequence[Objective]) -> list[Floats]:
    """The objectives of configurations for each seed that all of them have finished with.

    Args:
        rows: of each configuration, one per seed.
        objectives: k of them.

    Returns:
        An array (n, k) for n configurations per seed, without seeds in which a value is missing.
    """
    by_seed = [
        {row.get("seed"): row for row in group if row.get("state") == "done"} for group in rows
    ]
    if not by_seed:
        return []
    common = [seed for seed in by_seed[0] if all(seed in group for group in by_seed)]
    sets = [objective_values([group[seed] for group in by_seed], objectives) for seed in common]
    return [points for points in sets if np.isfinite(points).all()]
