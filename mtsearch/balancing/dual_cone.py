"""The projection on the dual cone of the gradients, used by UPGrad, DualProj and CAGrad."""

from __future__ import annotations

import torch
from torch import Tensor

from mtsearch.balancing.active_set import nonnegative
from mtsearch.balancing.gramians import unit_gramian


def dual_cone_weights(gramian: Tensor, weights: Tensor) -> Tensor:
    """Project ``sum_i u_i g_i`` on the dual cone: the nearest vector that has a non-negative inner
    product with every gradient.

    The weights v of the projection minimise ``v^T G v`` over ``v >= u`` (Quinton & Rey 2024,
    proposition 1). With ``v = u + y / l``, l the lengths of the gradients, and unit gradients this
    is a non-negative least squares problem, which an active-set method solves exactly, however much
    the lengths differ.

    Args:
        gramian: (K, K) Gramian of the gradients, float64.
        weights: (K,) the weights u.

    Returns:
        The weights v (K,) of the projection ``sum_i v_i g_i``.
    """
    lengths, cosines = unit_gramian(gramian)
    scaled = weights * lengths
    largest = float(scaled.abs().max())
    if largest == 0:
        return weights
    added = largest * nonnegative(cosines, cosines @ (scaled / largest))
    return torch.where(lengths > 0, weights + added / lengths, weights)
