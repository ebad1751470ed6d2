"""The geometric loss strategy."""

from __future__ import annotations

import torch
from torch import Tensor

from mtsearch.balancing.scalariser import Scalariser


class GLS(Scalariser):
    """``(prod_i f_i)^(1/K)`` (Chennupati et al. 2019). A loss of 0 gets no gradient; a negative
    loss gives NaN."""

    def __call__(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        positive = torch.where(losses == 0, torch.finfo(losses.dtype).tiny, losses)
        return positive.log().mean().exp()
