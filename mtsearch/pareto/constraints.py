"""By how much rows exceed their constraints: the one place that compares a metric with a bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtsearch.config.schema import Constraint
from mtsearch.pareto.columns import number

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def constraint_excess(
    rows: Sequence[Mapping[str, Any]], constraints: Sequence[Constraint]
) -> Floats:
    """By how much each row exceeds each bound, in the metric's unit, as an array (n, m) for n rows
    and m constraints.

    The excess is `value - max` or `min - value`: at most 0 where the row satisfies the bound,
    above 0 where it breaks it. It is `inf` where the metric is missing, null, no number, NaN or
    infinite: a bound that cannot be checked counts as broken. The array contains no NaN. For one
    row use `constraint_excess([row], constraints)[0]`.
    """
    columns = np.array(
        [[number(row, c.metric) for c in constraints] for row in rows], dtype=np.float64
    ).reshape(len(rows), len(constraints))
    bounds = np.array([c.min if c.max is None else c.max for c in constraints], dtype=np.float64)
    signs = np.array([-1.0 if c.max is None else 1.0 for c in constraints])
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(np.isfinite(columns), signs * (columns - bounds), np.inf)


def total_excess(excess: ArrayLike) -> Floats:
    """The constraint violation of each row (n,): the sum of the positive excesses (n, m), 0 where
    the row satisfies every bound, `inf` where a bound cannot be checked (Deb et al. 2002,
    section VI).
    """
    with np.errstate(over="ignore"):
        return np.asarray(np.maximum(excess, 0.0).sum(axis=-1), dtype=np.float64)


def feasible(rows: Sequence[Mapping[str, Any]], constraints: Sequence[Constraint]) -> Mask:
    """Which rows satisfy every bound, as a mask (n,). A missing value breaks a bound."""
    satisfied: Mask = np.all(constraint_excess(rows, constraints) <= 0, axis=1)
    return satisfied
