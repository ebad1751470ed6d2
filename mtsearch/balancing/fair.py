"""The allocation ``G w = w^(-1/alpha)`` of Nash-MTL (alpha = 1) and FairGrad."""

from __future__ import annotations

import torch
from torch import Tensor

from mtsearch.balancing.gramians import unit_gramian
from mtsearch.balancing.min_norm import stationary
from mtsearch.config.errors import BadInput

ITERATIONS = 200
QUADRATIC = 1e-6
"""Below this error the full Newton step squares it, and a line search would see rounding errors."""
SOLVED = 1e-6
"""How far ``(G w)_i w_i^(1/alpha)`` may be from 1 in a solution; it is 1e-12 and less unless the
gradients are stationary to rounding."""


def fair_weights(gramian: Tensor, alpha: float = 1.0) -> Tensor:
    """Positive weights ``w`` (K,) that solve ``G w = w^(-1/alpha)``, for a Gramian (K, K) in
    float64.

    The equation is the stationarity of the convex ``w^T G w / 2 - sum_i psi(w_i)`` with ``psi'(w) =
    w^(-1/alpha)``, which a damped Newton iteration minimises from the solution for orthogonal
    gradients, ``s_i = G_ii^(-alpha / (1 + alpha))``. It runs in ``u_i = w_i / s_i`` and steps
    relative to u, so that gradients of any lengths make a system of the same condition.

    A task whose gradient is 0 has no finite solution: its weight is 0, and the others are solved
    without it. Where a convex combination of the gradients is 0 to rounding (a Pareto-stationary
    point) no w solves the equation, and all weights are 0: no direction serves all tasks.

    Raises:
        BadInput: the iteration does not reach the solution: with an `alpha` far from 1 the weights
            differ by more orders of magnitude than float64 holds.
    """
    lengths, cosines = unit_gramian(gramian)
    own = lengths > 0
    weights = torch.zeros_like(lengths)
    if bool(own.any()) and not stationary(cosines[own][:, own]):
        shares = lengths[own] ** ((1 - alpha) / (1 + alpha))
        orthogonal = lengths[own] ** (-2 * alpha / (1 + alpha))
        found = _relative(cosines[own][:, own], shares, alpha)
        if found is None:
            raise BadInput(
                f"`trial.balancing` with `alpha` {alpha:g} should find weights for the gradients of"
                f" this step. Found none; their lengths are {lengths.tolist()}. Use an `alpha`"
                " nearer to 1."
            )
        weights[own] = orthogonal * found
    return weights


def _relative(cosines: Tensor, shares: Tensor, alpha: float) -> Tensor | None:
    """``u`` (K,) with ``(C (a u))_i / a_i = u_i^(-1/alpha)``, `shares` being a; None where the
    iteration does not reach it."""
    power = 1 - 1 / alpha
    coupling = cosines * torch.outer(1 / shares, shares)  # (coupling u)_i = u_i^(-1/alpha)

    def missed(u: Tensor) -> Tensor:
        return coupling @ u * u ** (1 / alpha) - 1

    u = coupling.clamp_min(0).sum(1) ** (-alpha / (1 + alpha))
    off = missed(u)
    best, least = u, float(off.abs().max())
    for _ in range(ITERATIONS):
        # The Newton step d u_i / u_i: in delta_i = a_i d u_i / u_i its matrix is symmetric and
        # does not contain the lengths.
        barrier = u**power
        hessian = torch.outer(u, u) * cosines + torch.diag(barrier) / alpha
        equal = hessian.diagonal().rsqrt()
        factor, failed = torch.linalg.cholesky_ex(hessian * torch.outer(equal, equal))
        right = (-shares * barrier * off * equal)[:, None]
        delta = torch.cholesky_solve(right, factor)[:, 0] * equal
        if int(failed) or not bool(delta.isfinite().all()):
            break
        relative = delta / shares
        length = min(1.0, 0.9 / max(float(-relative.min()), 1e-300))
        along = shares * delta * barrier  # the derivative in that direction is <along, missed>
        start = float(along @ off)
        for _ in range(60):
            moved = u * (1 + length * relative)
            ahead = missed(moved)
            if least < QUADRATIC or abs(
                float((along * (moved / u) ** (-1 / alpha)) @ ahead)
            ) <= 0.9 * abs(start):
                break
            length /= 2
        u, off = moved, ahead
        found = float(off.abs().max())
        if found >= least and least < SOLVED:  # rounding errors are reached
            break
        if found < least:
            best, least = u, found
    return best if least < SOLVED else None
