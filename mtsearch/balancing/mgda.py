"""MGDA."""

from __future__ import annotations

import torch
from torch import Tensor

from mtsearch.balancing.min_norm import min_norm_weights
from mtsearch.balancing.weighting import Weighting


class MGDA(Weighting):
    """``min |sum_i alpha_i g_i|^2`` over the simplex (Désidéri 2012; Sener & Koltun 2018, equation
    3), solved exactly.

    The result is a descent direction of all losses or zero. With `normalise` the solver gets
    ``g_i / c_i``, where ``c_i`` is ``|g_i|``, the loss or their product, and its weights are
    applied to the gradients ``g_i``, as in the authors' code. Without `normalise` the shortest
    gradient has the largest weight.
    """

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        scale = torch.ones_like(gramian[0])
        if self.settings.normalise in ("length", "both"):
            scale = scale * gramian.diagonal().clamp_min(0).sqrt()
        if self.settings.normalise in ("loss", "both"):
            scale = scale * losses.to(gramian)
        scale = torch.where(scale > 0, scale, 1.0)
        return min_norm_weights(gramian / torch.outer(scale, scale))
