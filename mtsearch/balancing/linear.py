"""The weighted sum."""

from __future__ import annotations

from torch import Tensor

from mtsearch.balancing.base import Step
from mtsearch.balancing.scalariser import Scalariser


class Linear(Scalariser):
    """``sum_i k_i f_i``, plus the constant ``k0 f_0`` where there is a sparsity objective. Reaches
    only the convex part of a front.

    A step on some tasks only has ``(K / k) sum_i k_i f_i`` over those k: with equal preferences
    their mean, whatever the task schedule.
    """

    subsets = True

    def __call__(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        return (self._weights(losses) * losses).sum() + self.coefficient * penalty

    def backward(self, step: Step) -> None:
        weights = self._weights(step.losses)
        if len(step.tasks) == len(weights):
            super().backward(step)
        else:
            scale = len(weights) / len(step.tasks)
            (scale * (weights[list(step.tasks)] * step.losses).sum()).backward()
