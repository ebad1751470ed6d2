"""GrOWL's penalty: the ordered weighted L1 norm of the row norms."""

from __future__ import annotations

from torch import Tensor


def owl_value(norms: Tensor, weights: Tensor) -> Tensor:
    """``sum_i theta_i r_[i]`` with the norms `norms` (n,) sorted decreasingly and the weights
    `weights` (n,) non-increasing: a norm of the matrix (Oswal et al. 2016; Zhang et al. 2018).
    Differentiable in `norms`."""
    return (norms.sort(descending=True).values * weights.to(norms)).sum()
