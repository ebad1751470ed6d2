"""Non-negative least squares on a Gramian."""

from __future__ import annotations

import torch
from torch import Tensor

TOLERANCE = 1e-13


def nonnegative(cosines: Tensor, linear: Tensor) -> Tensor:
    """``y >= 0`` (K,) with the least ``y^T C y / 2 + linear^T y``.

    The active-set method of Lawson & Hanson (1974, chapter 23): the task with the steepest descent
    joins the active ones, whose equations are solved exactly; the first that would become negative
    leaves. A task whose gradient depends on those of the active ones is not joined, since its
    equations would be singular, unless it replaces one of them.

    Args:
        cosines: (K, K) Gramian of unit gradients, float64; rows of zero gradients are 0.
        linear: (K,), in the range of `cosines`.
    """
    k = len(linear)
    y = torch.zeros_like(linear)
    active: list[int] = []
    refused: set[int] = set()
    for _ in range(20 * k):
        slope = cosines @ y + linear
        scale = max(1.0, float(y.abs().sum()))
        candidates = [
            i
            for i in range(k)
            if i not in active and i not in refused and float(slope[i]) < -TOLERANCE * scale
        ]
        if not candidates:
            break
        joining = min(candidates, key=lambda i: float(slope[i]))
        active.append(joining)
        while active:
            found = _solve(cosines, linear, active)
            if found is None:  # the new task depends on the others
                active.remove(joining)
                refused.add(joining)
                break
            if bool((found > 0).all()):
                y = torch.zeros_like(y)
                y[active] = found
                refused.clear()
                break
            old = y[active]
            steps = torch.full_like(old, torch.inf)
            falling = found <= 0  # those at 0 already leave at once
            steps[falling] = old[falling] / (old - found)[falling].clamp_min(1e-300)
            step = min(1.0, float(steps.min()))
            y[active] = old + step * (found - old)
            leaving = active[int(steps.argmin())]
            y[leaving] = 0.0
            active.remove(leaving)
            if leaving == joining:
                refused.add(joining)
                break
    return y


def _solve(cosines: Tensor, linear: Tensor, active: list[int]) -> Tensor | None:
    """The unconstrained minimiser over the active tasks; None where it is not unique."""
    matrix = cosines[active][:, active]
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed) or float(factor.diagonal().min()) < 1e-7:
        return None
    solution = torch.cholesky_solve(-linear[active][:, None], factor)
    rest = -linear[active][:, None] - matrix @ solution
    return (solution + torch.cholesky_solve(rest, factor))[:, 0]
