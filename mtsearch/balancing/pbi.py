"""Penalty-based boundary intersection."""

from __future__ import annotations

from torch import Tensor

from mtsearch.balancing.scalariser import Scalariser

EPSILON = 1e-12  # keeps the gradient of the distance finite where the distance is 0
MIN_WEIGHT = 1e-6  # weights are clamped to this, because the direction is their inverse


class PBI(Scalariser):
    """``d_1 + theta d_2``, with ``d_1`` the length of the projection of ``f - a`` on the unit
    direction v and ``d_2`` its distance from the line along v (Zhang & Li 2007).

    In the paper v gives the desired proportions of the losses. Here the preference k expresses
    importance, so that v is proportional to ``1 / k``: on this ray the weighted losses are equal,
    as for `chebyshev`.
    """

    def __call__(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        direction = 1 / self._weights(losses).clamp_min(MIN_WEIGHT)
        direction = direction / direction.norm()
        gap = losses - self.settings.reference
        along = gap @ direction
        return (
            along
            + self.settings.theta * ((gap - along * direction).square().sum() + EPSILON).sqrt()
        )
