"""The projection on the dual cone of the gradients, of UPGrad and DualProj."""

from __future__ import annotations

import torch
from torch import Tensor

from mtsearch.balancing.active_set import nonnegative
from mtsearch.balancing.gramians import unit_gramian


def dual_cone_weights(gramian: Tensor, weights: Tensor) -> Tensor:
    """``v`` (K,) such that ``sum_i v_i g_i`` is the nearest vector to ``sum_i u_i g_i`` that has a
    non-negative product with every gradient; `weights` (K,) are u, the Gramian (K, K) is float64.

    It minimises ``v^T G v`` over ``v >= u`` (Quinton & Rey 2024, proposition 1). With ``v = u + y /
    l`` and unit gradients this is a non-negative least squares problem, which an active-set method
    solves exactly, however different the gradients' lengths ``l`` are.
    """
    lengths, cosines = unit_gramian(gramian)
    scaled = weights * lengths
    largest = float(scaled.abs().max())
    if largest == 0:
        return weights
    added = largest * nonnegative(cosines, cosines @ (scaled / largest))
    return torch.where(lengths > 0, weights + added / lengths, weights)
