"""GradDrop."""

from __future__ import annotations

from torch import Tensor

from mtsearch.balancing.compat import aggregation
from mtsearch.balancing.gradients import GradientBalancing
from mtsearch.balancing.jacobian import Jacobian
from mtsearch.config import schema


class GradDrop(GradientBalancing):
    """Gradient sign dropout (Chen et al. 2020, algorithm 1, lines 10 to 15). It acts on each
    coordinate separately and has no task weights."""

    def __init__(
        self, settings: schema.GradDropConfig, preference: Tensor, coefficient: float
    ) -> None:
        super().__init__(settings, preference, coefficient)
        self._method = aggregation("GradDrop")

    def aggregate(self, jacobian: Jacobian, losses: Tensor) -> list[Tensor]:
        matrix = jacobian.matrix()
        self._method.leak = matrix.new_full((len(matrix),), self.settings.leak)
        return jacobian.split(self._method(matrix))
