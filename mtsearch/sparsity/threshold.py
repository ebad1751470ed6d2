"""How strong the prox must be to zero a given number of rows."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from mtsearch.sparsity.prox import Floats, as_floats

_MARGIN = 1e-9


def prox_strength(norms: Tensor, weights: Tensor, zeros: int) -> float:
    """The smallest `tau` at which `growl_prox` zeroes as many rows as it can without zeroing more
    than `zeros` (or than are zero already).

    With R and Theta the prefix sums of the sorted norms and of the weights, the prox keeps
    ``argmax_j (R_j - tau Theta_j)`` rows: the isotonic fit is the slope of the least concave
    majorant of that sequence, which is positive up to its maximum. So a bisection over `tau` needs
    no fit. Not every number can be had: equal norms vanish together, and `spike` may drop all rows
    that are left at once. Just below such a jump the survivors have almost vanished too; the
    smallest tau with the same zeros shrinks them least.
    """
    totals = np.concatenate(([0.0], np.cumsum(-np.sort(-as_floats(norms)))))
    costs = np.concatenate(([0.0], np.cumsum(as_floats(weights))))
    if len(totals) == 1 or costs[1] == 0 or totals[-1] == 0:
        return 0.0
    wanted = len(totals) - 1 - zeros
    if survivors(totals, costs, 0.0) <= wanted:
        return 0.0
    low, high = (
        0.0,
        totals[-1] / costs[1],
    )  # at `high` no prefix has a positive sum: nothing survives
    while low < (middle := (low + high) / 2) < high:
        if survivors(totals, costs, middle) >= wanted:
            low = middle
        else:
            high = middle
    kept = survivors(
        totals, costs, low * (1 - _MARGIN)
    )  # at the jump itself rounding would choose among the rows that tie
    gained, paid = totals[kept + 1 :] - totals[kept], costs[kept + 1 :] - costs[kept]
    return float(np.max(gained[paid > 0] / paid[paid > 0], initial=0.0))


def survivors(totals: Floats, costs: Floats, tau: float) -> int:
    """How many rows the prox keeps: the first maximum of ``totals - tau * costs``, prefix sums (n +
    1,) of sorted norms and of weights."""
    return int(np.argmax(totals - tau * costs))
