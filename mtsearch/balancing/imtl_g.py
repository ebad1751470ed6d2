"""IMTL-G."""

from __future__ import annotations

import torch
from torch import Tensor

from mtsearch.balancing.gramians import unit_gramian
from mtsearch.balancing.weighting import Weighting

RANK = 1e-12
"""Eigenvalues of the unit gradients' Gramian below this share of the largest count as 0."""


class IMTLG(Weighting):
    """Weights of sum 1, which may be negative, with which the weighted sum of the gradients has
    equal projections on all unit gradients (Liu et al. 2021, equation 6).

    ``w_i = (C^+ 1)_i / l_i``, divided by their sum, with C the Gramian of the unit gradients and l
    their lengths. Unlike G^+, C^+ remains accurate for gradients whose lengths differ by orders of
    magnitude. If the sum is 0, as for opposed gradients of equal length, all weights are 0.
    """

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        lengths, cosines = unit_gramian(gramian)
        inverse = torch.where(lengths > 0, 1 / lengths, 0.0)
        weights = inverse * torch.linalg.pinv(cosines, rtol=RANK, hermitian=True).sum(1)
        total = weights.sum()
        if float(total.abs()) <= 1e-12 * float(weights.abs().sum()):
            return torch.zeros_like(weights)
        return weights / total
