"""Non-negative least squares on a Gramian."""

from __future__ import annotations

import torch
from torch import Tensor

TOLERANCE = 1e-13


def nonnegative(cosines: Tensor, linear: Tensor) -> Tensor:
    """Minimise ``y^T C y / 2 + linear^T y`` over ``y >= 0`` (K,).

    Uses the active-set method of Lawson & Hanson (1974, chapter 23). In each iteration the task
    with the steepest descent enters the active set, and the equations of the active tasks are
    solved exactly. The first task whose entry would become negative leaves the set. A task whose
    gradient is linearly dependent on those of the active tasks does not enter, because its
    equations would be singular, unless it replaces one of them.

    Args:
        cosines: (K, K) Gramian of unit gradients, float64; rows of zero gradients are 0.
        linear: (K,), in the range of `cosines`.

    Returns:
        The minimiser y (K,).
    """
    k = len(linear)
    y = torch.zeros_like(linear)
    active: list[int] = []
    excluded: set[int] = set()
    for _ in range(20 * k):
        slope = cosines @ y + linear
        scale = max(1.0, float(y.abs().sum()))
        candidates = [
            i
            for i in range(k)
            if i not in active and i not in excluded and float(slope[i]) < -TOLERANCE * scale
        ]
        if not candidates:
            break
        entering = min(candidates, key=lambda i: float(slope[i]))
        active.append(entering)
        while active:
            found = _solve(cosines, linear, active)
            if found is None:  # the entering gradient is linearly dependent on the others
                active.remove(entering)
                excluded.add(entering)
                break
            if bool((found > 0).all()):
                y = torch.zeros_like(y)
                y[active] = found
                excluded.clear()
                break
            old = y[active]
            steps = torch.full_like(old, torch.inf)
            decreasing = found <= 0  # entries that are 0 already leave with a step of length 0
            steps[decreasing] = old[decreasing] / (old - found)[decreasing].clamp_min(1e-300)
            step = min(1.0, float(steps.min()))
            y[active] = old + step * (found - old)
            leaving = active[int(steps.argmin())]
            y[leaving] = 0.0
            active.remove(leaving)
            if leaving == entering:
                excluded.add(entering)
                break
    return y


def _solve(cosines: Tensor, linear: Tensor, active: list[int]) -> Tensor | None:
    """Return the unconstrained minimiser over the active tasks; None if it is not unique."""
    matrix = cosines[active][:, active]
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed) or float(factor.diagonal().min()) < 1e-7:
        return None
    solution = torch.cholesky_solve(-linear[active][:, None], factor)
    rest = -linear[active][:, None] - matrix @ solution
    return (solution + torch.cholesky_solve(rest, factor))[:, 0]
