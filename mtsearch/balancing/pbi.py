"""Penalty-based boundary intersection."""

from __future__ import annotations

from torch import Tensor

from mtsearch.balancing.scalariser import Scalariser

EPSILON = 1e-12  # keeps the distance's gradient finite on the direction itself
LEAST = 1e-6  # a task without weight may be this much worse than one that has all


class PBI(Scalariser):
    """``d_1 + theta d_2``: the length of ``f - a`` along the unit direction v, and its distance
    from it (Zhang & Li 2007).

    The published direction is the proportion that the losses shall have. A preference is
    importance, so v is proportional to ``1 / k``: the ray on which the weighted losses are equal,
    as for `chebyshev`.
    """

    def __call__(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        direction = 1 / self._weights(losses).clamp_min(LEAST)
        direction = direction / direction.norm()
        gap = losses - self.settings.reference
        along = gap @ direction
        return (
            along
            + self.settings.theta * ((gap - along * direction).square().sum() + EPSILON).sqrt()
        )
