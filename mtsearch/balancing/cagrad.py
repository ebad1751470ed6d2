"""CAGrad."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mtsearch.balancing.weighting import TorchJD


class CAGrad(TorchJD):
    """``max_d min_i <g_i, d>`` with ``|d - g| <= c |g|``, g the mean gradient (Liu et al. 2021,
    algorithm 1).

    Where the weighted gradient of its dual vanishes, as with a task that has no gradient in a step,
    there is no direction to add and d is g. (TorchJD makes no update there.)
    """

    method = "CAGradWeighting"

    def options(self) -> dict[str, Any]:
        return {"c": self.settings.radius}

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        weights = super().weigh(gramian, losses)
        return weights if bool(weights.any()) else torch.full_like(weights, 1 / len(weights))
