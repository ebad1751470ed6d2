"""GrOWL on row norms: weights, penalty, proximal operator, and its strength for n zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtsearch.config.errors import BadInput, nearest

Floats = NDArray[np.float64]
_MARGIN = 1e-9


def _spike(n: int, beta1: float, beta2: float) -> Tensor:
    weights = torch.full((n,), beta2, dtype=torch.float64)
    weights[:1] += beta1
    return weights


def _linear(n: int, beta1: float, beta2: float) -> Tensor:
    ranks = torch.arange(1, n + 1, dtype=torch.float64)
    return beta1 + beta2 * (n - ranks) / n


def _dejiao(n: int, beta1: float, beta2: float) -> Tensor:
    head = n // 2
    weights = torch.full((n,), beta2, dtype=torch.float64)
    weights[:head] = beta1 + beta2 * torch.arange(head, 0, -1, dtype=torch.float64)
    return weights


_PATTERNS: dict[str, Callable[[int, float, float], Tensor]] = {
    "spike": _spike,
    "linear": _linear,
    "dejiao": _dejiao,
}


def growl_weights(n: int, pattern: str, beta1: float, beta2: float) -> Tensor:
    """GrOWL's weights ``theta_1 >= ... >= theta_n >= 0`` for `n` rows, float64 (n,).

    - ``spike``: ``theta_1 = beta1 + beta2``, the others ``beta2``;
    - ``linear``: ``theta_i = beta1 + beta2 (n - i) / n``;
    - ``dejiao``: ``theta_i = beta1 + beta2 (p - i + 1)`` for ``i <= p = n // 2``, the others
      ``beta2`` (Zhang et al. 2018).

    Raises:
        BadInput: unknown `pattern`, or both constants zero (nothing would be penalised).

    Example:
        >>> growl_weights(4, "linear", beta1=1.0, beta2=0.5).tolist()
        [1.375, 1.25, 1.125, 1.0]
    """
    if pattern not in _PATTERNS:
        raise BadInput(
            f"`trial.sparsity.pattern` is unknown: {pattern!r}. {nearest(pattern, _PATTERNS)}"
        )
    if beta1 < 0 or beta2 < 0 or beta1 + beta2 == 0:
        raise BadInput(
            "`trial.sparsity.beta1` and `beta2` should be non-negative and not both 0. Found beta1"
            f" = {beta1}, beta2 = {beta2}."
        )
    return _PATTERNS[pattern](n, beta1, beta2)


def owl_value(norms: Tensor, weights: Tensor) -> Tensor:
    """``sum_i theta_i r_[i]`` with the norms `norms` (n,) sorted decreasingly and the weights
    `weights` (n,) non-increasing: a norm of the matrix (Oswal et al. 2016; Zhang et al. 2018).
    Differentiable in `norms`.

    Example:
        >>> owl_value(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 1.0])).item()
        7.0
    """
    return (norms.sort(descending=True).values * weights.to(norms)).sum()


def growl_prox(norms: Tensor, weights: Tensor, tau: float) -> Tensor:
    """The row norms after ``prox_{tau Omega}``; each row keeps its direction, so scaling it by new
    / old norm is the prox of the whole matrix.

    With r sorted decreasingly, the result is the non-increasing isotonic regression of ``r - tau
    theta``, cut at zero (Bogdan et al. 2015, algorithm 3).

    Args:
        norms: (n,) non-negative, in any order.
        weights: (n,) ``theta``, non-increasing and non-negative (see `growl_weights`).
        tau: the step's strength, at least 0; 0 changes nothing.

    Returns:
        (n,) with the type and device of `norms`, in the order of `norms`.

    Raises:
        ValueError: sizes that do not match, a negative `tau`, or weights that increase or are
            negative.

    Example:
        >>> growl_prox(torch.tensor([1.0, 4.0]), torch.tensor([2.0, 1.0]), tau=1.0).tolist()
        [0.0, 2.0]
    """
    r, theta = _as_floats(norms), _as_floats(weights)
    if r.ndim != 1 or r.shape != theta.shape:
        raise ValueError(
            "Parameters `norms` and `weights` should have one common size. Found"
            f" {tuple(norms.shape)} and {tuple(weights.shape)}."
        )
    if tau < 0:
        raise ValueError(f"Parameter `tau` should not be negative. Found `tau = {tau}`.")
    if len(r) and (theta[-1] < 0 or (np.diff(theta) > 0).any()):
        raise ValueError("Parameter `weights` should be non-increasing and non-negative.")
    order = np.argsort(-r, kind="stable")
    shrunk = np.empty_like(r)
    shrunk[order] = np.maximum(non_increasing_fit(r[order] - tau * theta), 0)
    return torch.from_numpy(shrunk).to(norms)


def non_increasing_fit(y: Floats) -> Floats:
    """The non-increasing sequence nearest to `y` in least squares, (n,): adjacent violators are
    pooled until there are none.

    Every pass pools all violations at once, each with the neighbours on either side that it
    then violates; a pass costs a few vector operations on the blocks that are left. (Pooling
    only the violations themselves needs a pass per row for `spike` and `dejiao`.)
    """
    sums, sizes = y, np.ones(len(y), dtype=np.int64)
    while True:
        means = sums / sizes
        rising = means[1:] > means[:-1]
        if not rising.any():
            return np.repeat(means, sizes)
        # downwards and upwards are one operation: reversal with a change of sign keeps
        # "non-increasing"
        joined = (
            _absorbed(sums, sizes, means, rising)
            | _absorbed(-sums[::-1], sizes[::-1], -means[::-1], rising[::-1])[::-1]
        )
        starts = np.flatnonzero(np.concatenate(([True], ~joined)))
        sums, sizes = np.add.reduceat(sums, starts), np.add.reduceat(sizes, starts)


def _absorbed(
    sums: Floats, sizes: NDArray[np.int64], means: Floats, rising: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which boundaries (b between blocks b and b + 1) are removed when each rising pair is pooled
    with the blocks after it as long as it violates them.

    In the falling run after a rising boundary `head`, the next block is pooled while the mean of
    the blocks from `head` on is below its own. The run falls, so the first block that is not pooled
    ends the pool, and prefix sums decide this for all blocks at once.
    """
    head = np.maximum.accumulate(np.where(rising, np.arange(len(rising)), -1))
    total, count = _prefix(sums), _prefix(sizes)
    below = (total[1:-1] - total[head]) < means[1:] * (count[1:-1] - count[head])
    absorbed: NDArray[np.bool_] = rising | (below & (head >= 0))
    return absorbed


def _prefix(values: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate((np.zeros(1, dtype=values.dtype), np.cumsum(values)))


def prox_strength(norms: Tensor, weights: Tensor, zeros: int) -> float:
    """The smallest `tau` at which `growl_prox` zeroes as many rows as it can without zeroing more
    than `zeros` (or than are zero already).

    With R and Theta the prefix sums of the sorted norms and of the weights, the prox keeps
    ``argmax_j (R_j - tau Theta_j)`` rows: the isotonic fit is the slope of the least concave
    majorant of that sequence, which is positive up to its maximum. So a bisection over `tau` needs
    no fit. Some numbers of zeros cannot be reached: equal norms become zero together, and `spike`
    may zero all remaining rows at once. Just below such a jump the survivors are almost zero; the
    smallest tau with the same zeros shrinks them least.
    """
    totals = np.concatenate(([0.0], np.cumsum(-np.sort(-_as_floats(norms)))))
    costs = np.concatenate(([0.0], np.cumsum(_as_floats(weights))))
    if len(totals) == 1 or costs[1] == 0 or totals[-1] == 0:
        return 0.0
    wanted = len(totals) - 1 - zeros
    if _survivors(totals, costs, 0.0) <= wanted:
        return 0.0
    low, high = 0.0, totals[-1] / costs[1]  # at `high` no prefix has a positive sum
    while low < (middle := (low + high) / 2) < high:
        if _survivors(totals, costs, middle) >= wanted:
            low = middle
        else:
            high = middle
    # at the jump itself rounding would choose among the rows that tie
    kept = _survivors(totals, costs, low * (1 - _MARGIN))
    gained, paid = totals[kept + 1 :] - totals[kept], costs[kept + 1 :] - costs[kept]
    return float(np.max(gained[paid > 0] / paid[paid > 0], initial=0.0))


def _survivors(totals: Floats, costs: Floats, tau: float) -> int:
    """How many rows the prox keeps: the first maximum of ``totals - tau * costs``, prefix sums (n +
    1,) of sorted norms and of weights."""
    return int(np.argmax(totals - tau * costs))


def _as_floats(values: Tensor) -> Floats:
    """A tensor as a float64 array on the CPU."""
    return values.detach().to("cpu", torch.float64).numpy()
