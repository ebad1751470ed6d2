"""UPGrad."""

from __future__ import annotations

import torch
from torch import Tensor

from mtsearch.balancing.dual_cone import dual_cone_weights
from mtsearch.balancing.weighting import Weighting


class UPGrad(Weighting):
    """``sum_i k_i P(g_i)``, P the projection on the dual cone of the gradients, so that the update
    conflicts with no task (Quinton & Rey 2024, equation 4), solved exactly."""

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        rows = torch.diag(self.preference)
        return torch.stack([dual_cone_weights(gramian, row) for row in rows]).sum(0)
