"""The proximal operator of GrOWL on row norms, exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]


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
    """
    r, theta = as_floats(norms), as_floats(weights)
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

    Every pass pools all violations at once, each with all the neighbours on either side that it
    goes on to violate; a pass costs a few vector operations on the blocks that are left. (Pooling
    only the violations themselves needs a pass a row for `spike` and `dejiao`.)
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
    """Which boundaries (b between blocks b and b + 1) vanish when each rising pair takes in the
    blocks after it for as long as it violates them.

    Within the falling run after a rising boundary `head` the next block joins while the mean of the
    blocks from `head` on is below it; as the run falls the first block that stays out keeps all
    later ones out, so that the test can be made for all at once from prefix sums.
    """
    head = np.maximum.accumulate(np.where(rising, np.arange(len(rising)), -1))
    total, count = _prefix(sums), _prefix(sizes)
    below = (total[1:-1] - total[head]) < means[1:] * (count[1:-1] - count[head])
    return rising | (below & (head >= 0))


def _prefix(values: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate((np.zeros(1, dtype=values.dtype), np.cumsum(values)))


def as_floats(values: Tensor) -> Floats:
    """A tensor as a float64 array on the host."""
    return values.detach().to("cpu", torch.float64).numpy()
