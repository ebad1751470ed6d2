"""FairGrad."""

from __future__ import annotations

from torch import Tensor

from mtsearch.balancing.fair import fair_weights
from mtsearch.balancing.weighting import Weighting


class FairGrad(Weighting):
    """``G w = w^(-1/alpha)``, the fair allocation of progress (Ban & Ji 2024, equation 4), by a
    damped Newton iteration (see `fair_weights`)."""

    scale_free = False

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        return fair_weights(gramian, self.settings.alpha)
