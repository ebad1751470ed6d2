"""The weighted sum."""

from __future__ import annotations

from torch import Tensor

from mtsearch.balancing.scalariser import Scalariser, scalariser
from mtsearch.config import schema


@scalariser(schema.Linear)
class Linear(Scalariser):
    """``sum_i k_i f_i``, plus the constant ``k0 f_0`` where there is a sparsity objective. Reaches only the convex part of a front."""

    def __call__(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        return (self._weights(losses) * losses).sum() + self.coefficient * penalty
