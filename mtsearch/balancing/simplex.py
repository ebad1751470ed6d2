"""Projections on the probability simplex."""

from __future__ import annotations

import torch
from torch import Tensor


def simplex_projection(point: Tensor) -> Tensor:
    """Return the Euclidean projection of `point` (m,) on the probability simplex; NaN gives NaN.

    With the entries v sorted in decreasing order the threshold is ``max_k (sum_{i<=k} v_i - 1) /
    k`` (Held, Wolfe & Crowder 1974).

    Example:
        >>> simplex_projection(torch.tensor([0.5, 1.5])).tolist()
        [0.0, 1.0]
    """
    # the projection is invariant to a common shift; this one avoids rounding of large entries
    shifted = point - point.amax()
    ranked = shifted.sort(descending=True).values
    ranks = torch.arange(1, len(point) + 1, dtype=point.dtype, device=point.device)
    threshold = ((ranked.cumsum(0) - 1) / ranks).amax()
    return (shifted - threshold).clamp_min(0)


def projected_multipliers(multipliers: Tensor, values: Tensor, mu: float) -> Tensor:
    """Return the projection ``p`` of ``multipliers + mu * values`` on the simplex, all of shape
    (m,): the weights of the gradients of the objectives.

    Example:
        >>> half = torch.tensor([0.5, 0.5])
        >>> projected_multipliers(half, torch.tensor([0.25, 0.75]), mu=1.0).tolist()
        [0.25, 0.75]
    """
    return simplex_projection(multipliers + mu * values)


def best_bound(multipliers: Tensor, values: Tensor, mu: float) -> Tensor:
    """Return ``t*``, the minimiser over t of the augmented Lagrangian of the constraints ``values -
    t <= 0``, for `mu` > 0.

    It solves ``sum_i max(0, multipliers_i + mu (values_i - t)) = 1``.

    Example:
        >>> best_bound(torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75]), 1.0).item()
        0.5
    """
    p = projected_multipliers(multipliers, values, mu)
    top = p.argmax()  # the formula holds for every i with p_i > 0
    return values[top] - (p[top] - multipliers[top]) / mu
