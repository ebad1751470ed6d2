"""The allocation ``G w = w^(-1/alpha)`` of Nash-MTL (alpha = 1) and FairGrad."""

from __future__ import annotations

import torch
from torch import Tensor

from mtsearch.balancing.gramians import unit_gramian
from mtsearch.balancing.min_norm import stationary
from mtsearch.config.errors import BadInput

ITERATIONS = 200
QUADRATIC = 1e-6
"""Below this error Newton's method converges quadratically with full steps, and a line search would
compare rounding errors."""
TOLERANCE = 1e-6
"""Largest accepted deviation of ``(G w)_i w_i^(1/alpha)`` from 1; it is at most 1e-12 unless the
gradients are stationary up to rounding errors."""


def fair_weights(gramian: Tensor, alpha: float = 1.0) -> Tensor:
    """Find the positive weights ``w`` (K,) that solve ``G w = w^(-1/alpha)``.

    The equation is the stationarity condition of the convex function ``w^T G w / 2 - sum_i
    psi(w_i)`` with ``psi'(w) = w^(-1/alpha)``. A damped Newton iteration minimises it, starting
    near the solution for orthogonal gradients, ``s_i = G_ii^(-alpha / (1 + alpha))``. It iterates
    on ``u_i = w_i / s_i`` with steps relative to u, so that the condition of the linear systems
    does not depend on the lengths of the gradients.

    A task whose gradient is 0 has no finite solution: its weight is 0, and the equation is solved
    for the other tasks. If a convex combination of the gradients is 0 up to rounding errors (a
    Pareto-stationary point), no w solves the equation and all weights are 0.

    Args:
        gramian: (K, K) Gramian of the gradients, float64.
        alpha: the exponent, above 0.

    Returns:
        The weights w (K,).

    Raises:
        BadInput: the iteration does not converge, because with an `alpha` far from 1 the weights
            differ by more orders of magnitude than float64 represents.
    """
    lengths, cosines = unit_gramian(gramian)
    own = lengths > 0
    weights = torch.zeros_like(lengths)
    if bool(own.any()) and not stationary(cosines[own][:, own]):
        shares = lengths[own] ** ((1 - alpha) / (1 + alpha))
        orthogonal = lengths[own] ** (-2 * alpha / (1 + alpha))
        found = _solve_relative(cosines[own][:, own], shares, alpha)
        if found is None:
            raise BadInput(
                f"`trial.balancing` with `alpha` {alpha:g} should find weights for the gradients of"
                f" this step. Found no solution for gradients of lengths {lengths.tolist()}. Use an"
                " `alpha` nearer to 1."
            )
        weights[own] = orthogonal * found
    return weights


def _solve_relative(cosines: Tensor, shares: Tensor, alpha: float) -> Tensor | None:
    """Return ``u`` (K,) with ``(C (a u))_i / a_i = u_i^(-1/alpha)``, where a is `shares`; None if
    the iteration does not converge."""
    power = 1 - 1 / alpha
    coupling = cosines * torch.outer(1 / shares, shares)  # (coupling u)_i = u_i^(-1/alpha)

    def residual(u: Tensor) -> Tensor:
        return coupling @ u * u ** (1 / alpha) - 1

    u = coupling.clamp_min(0).sum(1) ** (-alpha / (1 + alpha))
    error = residual(u)
    best, least = u, float(error.abs().max())
    for _ in range(ITERATIONS):
        # In the variables delta_i = a_i d u_i / u_i the matrix of the Newton step is symmetric and
        # does not contain the lengths.
        barrier = u**power
        hessian = torch.outer(u, u) * cosines + torch.diag(barrier) / alpha
        equal = hessian.diagonal().rsqrt()
        factor, failed = torch.linalg.cholesky_ex(hessian * torch.outer(equal, equal))
        right = (-shares * barrier * error * equal)[:, None]
        delta = torch.cholesky_solve(right, factor)[:, 0] * equal
        if int(failed) or not bool(delta.isfinite().all()):
            break
        relative = delta / shares
        length = min(1.0, 0.9 / max(float(-relative.min()), 1e-300))
        along = shares * delta * barrier  # the derivative in that direction is <along, residual>
        start = float(along @ error)
        for _ in range(60):
            moved = u * (1 + length * relative)
            next_error = residual(moved)
            if least < QUADRATIC or abs(
                float((along * (moved / u) ** (-1 / alpha)) @ next_error)
            ) <= 0.9 * abs(start):
                break
            length /= 2
        u, error = moved, next_error
        found = float(error.abs().max())
        if found >= least and least < TOLERANCE:  # rounding errors are reached
            break
        if found < least:
            best, least = u, found
    return best if least < TOLERANCE else None
