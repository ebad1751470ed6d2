"""The weighted Chebyshev scalarisation."""

from __future__ import annotations

from torch import Tensor

from mtsearch.balancing.scalariser import Scalariser


class Chebyshev(Scalariser):
    """``max_i k_i (f_i - a)`` over the tasks with ``k_i > 0`` (Bowman 1976), `a` being `reference`;
    tied tasks share the gradient.

    The sparsity objective is excluded from the maximum. It has no gradient, so that a step in which
    it was the largest objective would not train the network.
    """

    def __call__(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        weights = self._weights(losses)
        values = weights * (losses - self.settings.reference)
        return values.masked_fill(weights == 0, float("-inf")).amax()
