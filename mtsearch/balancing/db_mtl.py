"""DB-MTL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from mtsearch.balancing.gradients import GradientBalancing
from mtsearch.balancing.jacobian import Jacobian
from mtsearch.config import schema

EPSILON = 1e-8


class DBMTL(GradientBalancing):
    """Dual balancing (Lin et al. 2023, algorithm 1). The losses are balanced by their logarithm,
    ``g_i = grad log(f_i + 1e-8)``, and the gradients by their lengths.

    ``m_i <- b m_i + (1 - b) g_i`` with ``b = memory / step^fading``, starting from m = 0; the
    update is ``sum_i (max_j |m_j| / |m_i|) m_i``. The task-specific parameters get the gradients of
    the logarithms as well. The state is m, with K times the size of the parameters.
    """

    task_state: ClassVar[dict[str, int]] = {"means": 1}

    def __init__(
        self, settings: schema.DBMTLConfig, preference: Tensor, coefficient: float
    ) -> None:
        super().__init__(settings, preference, coefficient)
        self._steps = 0
        self._means: list[Tensor] = []

    def objectives(self, terms: Sequence[Tensor]) -> Sequence[Tensor]:
        return [(term + EPSILON).log() for term in terms]

    def aggregate(self, jacobian: Jacobian, losses: Tensor) -> list[Tensor]:
        if self.settings.memory > 0:
            self._steps += 1
            keep = self.settings.memory / self._steps**self.settings.fading
            means = self._means or [torch.zeros_like(block) for block in jacobian.blocks]
            self._means = [
                block.lerp(mean.to(block), keep)
                for block, mean in zip(jacobian.blocks, means, strict=True)
            ]
            jacobian = jacobian.with_blocks(self._means)
        lengths = jacobian.gramian().diagonal().sqrt()
        return jacobian.combine(torch.where(lengths == 0, 0.0, lengths.max() / lengths))

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self._steps, "means": list(self._means)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if any(len(mean) != len(self.preference) for mean in state["means"]):
            raise ValueError(
                f"State of `DBMTL` should be of {len(self.preference)} tasks. Found"
                f" {len(state['means'][0])}."
            )
        self._steps, self._means = state["steps"], list(state["means"])
