"""FairGrad."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from mtsearch.balancing.weighting import TorchJD


class FairGrad(TorchJD):
    """``G w = w^(-1/alpha)``, the fair allocation of progress (Ban & Ji 2024, equation 4), by least
    squares.

    Where w solves it for ``s G``, ``s^(alpha / (1 + alpha)) w`` does for G. Solved at a trace in
    [0.5, 1), so that the solver's tolerances and its start mean the same at all scales.
    """

    method = "FairGradWeighting"
    scale_free = False

    def options(self) -> dict[str, Any]:
        return {"alpha": self.settings.alpha}

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        scale = math.ldexp(1.0, -math.frexp(float(gramian.diagonal().sum()))[1])
        alpha = self.settings.alpha
        return scale ** (alpha / (1 + alpha)) * super().weigh(scale * gramian, losses)
