"""ConFIG."""

from __future__ import annotations

import torch
from torch import Tensor

from mtsearch.balancing.gramians import unit_gramian
from mtsearch.balancing.weighting import Weighting

# eigenvalues below this share of the largest count as zero; this corresponds to singular values
# below 1e-6 of the largest, which is above the rounding errors of float32
RANK = 1e-12
# squared lengths of ``U^+ k`` below this are rounding errors, as for opposed gradients
NEGLIGIBLE = 1e-20


class ConFIG(Weighting):
    """``g = s u``, u the unit vector along ``U^+ k`` and ``s = sum_i <g_i, u>`` (Liu et al. 2024,
    equation 2).

    U has the unit gradients as rows. In terms of the Gramian ``U^+ k = U^T (U U^T)^+ k``, which
    requires neither the Jacobian nor its pseudoinverse. If ``U^+ k`` is 0, as with opposed
    gradients of equal preference, all weights are 0.
    """

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        lengths, cosines = unit_gramian(gramian)
        inverse = torch.where(lengths > 0, 1 / lengths, 0.0)
        along = inverse * (torch.linalg.pinv(cosines, rtol=RANK, hermitian=True) @ self.preference)
        squared = along @ gramian @ along
        if not squared > NEGLIGIBLE:
            return torch.zeros_like(along)
        return along * ((gramian @ along).sum() / squared)
