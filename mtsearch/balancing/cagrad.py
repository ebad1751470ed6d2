"""CAGrad."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mtsearch.balancing.dual_cone import dual_cone_weights
from mtsearch.balancing.min_norm import min_norm_weights
from mtsearch.balancing.weighting import Weighting

# for larger multipliers kappa the constraint |d - g| <= c |g| is taken as inactive
MAX_MULTIPLIER = 1e15


class CAGrad(Weighting):
    """``max_d min_i <g_i, d>`` with ``|d - g| <= c |g|``, g the mean gradient (Liu et al. 2021,
    algorithm 1), solved exactly.

    The solution is ``d = g + kappa g_w``, ``g_w = sum_i w_i g_i`` with w on the simplex. For a
    given multiplier kappa, d is the shortest vector in the convex hull of the ``g + kappa g_i``.
    ``kappa |g_w|`` increases with kappa; a bisection finds the kappa at which it is ``c |g|``.

    At a Pareto-stationary point, such as a step in which a task has no gradient, ``kappa |g_w|``
    may stay below ``c |g|`` for all kappa. Then d is the limit for large kappa: the projection of g
    on the dual cone of the gradients. No direction improves all tasks there, and this one worsens
    none of them.
    """

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        k = len(gramian)
        mean = torch.full_like(gramian[0], 1 / k)
        along = gramian @ mean  # <g_i, g>
        squared = float(mean @ along)
        radius = self.settings.radius * math.sqrt(max(squared, 0.0))
        if radius == 0 or k == 1:
            return mean * (1 + self.settings.radius if k == 1 else 1)

        def solve(kappa: float) -> tuple[Tensor, float]:
            """Return ``kappa w`` and the length of ``kappa g_w``."""
            hull = squared + kappa * (along[:, None] + along) + kappa**2 * gramian
            added = kappa * min_norm_weights(hull)
            return added, math.sqrt(max(float(added @ gramian @ added), 0.0))

        low, high = 0.0, radius / math.sqrt(float(gramian.diagonal().max()))
        added, length = solve(high)
        while length < radius:
            if high > MAX_MULTIPLIER:
                return dual_cone_weights(gramian, mean)
            low, high = high, 4 * high
            added, length = solve(high)
        while length > radius * (1 + 1e-12) and low < (middle := 0.5 * (low + high)) < high:
            found, reached = solve(middle)
            if reached < radius:
                low = middle
            else:
                high, added, length = middle, found, reached
        return mean + added * (radius / length)
