"""Random loss weighting."""

from __future__ import annotations

import torch
from torch import Tensor

from mtsearch.balancing.scalariser import Scalariser


class RLW(Scalariser):
    """``sum_i w_i f_i``, ``w = softmax(z)`` with a new normal sample z in each step (Lin et al.
    2022, algorithm 2)."""

    def __call__(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        # drawn on the CPU, so that the weights do not depend on the device
        weights = torch.randn(len(losses), dtype=losses.dtype).softmax(0)
        return (weights.to(losses.device) * losses).sum()
