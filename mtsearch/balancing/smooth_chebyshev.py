"""The smooth weighted Chebyshev scalarisation."""

from __future__ import annotations

from torch import Tensor

from mtsearch.balancing.scalariser import Scalariser


class SmoothChebyshev(Scalariser):
    """``mu log sum_i exp(k_i (f_i - a) / mu)`` over the tasks with ``k_i > 0`` (Lin et al. 2024,
    equation 7).

    It exceeds the maximum by at most ``mu log K``. As in `Chebyshev`, the sparsity objective is not
    included.
    """

    def __call__(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        weights = self._weights(losses)
        values = weights * (losses - self.settings.reference) / self.settings.mu
        return self.settings.mu * values.masked_fill(weights == 0, float("-inf")).logsumexp(0)
