"""The shortest vector in the convex hull of gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from mtsearch.balancing.gramians import gramian_factor

STATIONARY = 1e-13
"""A convex combination of unit gradients whose squared length is below this counts as 0, because
the rounding errors of the Gramian are of this size."""


def min_norm_weights(gramian: Tensor) -> Tensor:
    """Minimise ``|sum_i alpha_i g_i|^2 = alpha^T G alpha`` over the simplex.

    For two gradients there is a closed form. For more, the minimiser of ``|R^T x|^2 + (sum_i x_i -
    1)^2`` over ``x >= 0``, with ``R R^T = G``, is ``alpha / (1 + |g|^2)`` (Lawson & Hanson 1974,
    chapter 23). An active-set solver for non-negative least squares finds it exactly, whereas
    Frank-Wolfe iterations only approximate it.

    Args:
        gramian: (K, K) Gramian of the gradients, float64.

    Returns:
        The minimiser alpha (K,), on the simplex.
    """
    k = len(gramian)
    if k == 1:
        return torch.ones_like(gramian[0])
    if k == 2:
        distance = gramian[0, 0] + gramian[1, 1] - 2 * gramian[0, 1]
        first = (
            ((gramian[1, 1] - gramian[0, 1]) / distance).clamp(0, 1)
            if distance > 0
            else gramian.new_tensor(0.5)
        )
        return torch.stack([first, 1 - first])
    from scipy.optimize import nnls

    rows = torch.cat([gramian_factor(gramian).T, torch.ones_like(gramian[:1])])
    target = torch.zeros_like(rows[:, 0])
    target[-1] = 1
    found, _ = nnls(rows.numpy(), target.numpy(), maxiter=50 * k)
    x = torch.from_numpy(found).to(gramian)
    return x / x.sum()


def stationary(cosines: Tensor) -> bool:
    """Return whether a convex combination of the unit gradients with Gramian `cosines` (K, K) is 0
    up to rounding errors."""
    weights = min_norm_weights(cosines)
    return float(weights @ cosines @ weights) < STATIONARY
