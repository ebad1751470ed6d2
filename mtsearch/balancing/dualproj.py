"""DualProj."""

from __future__ import annotations

from torch import Tensor

from mtsearch.balancing.dual_cone import dual_cone_weights
from mtsearch.balancing.weighting import Weighting


class DualProj(Weighting):
    """``P(sum_i k_i g_i)``, P the projection on the dual cone of the gradients (Lopez-Paz & Ranzato
    2017, equation 11), solved exactly."""

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        return dual_cone_weights(gramian, self.preference)
