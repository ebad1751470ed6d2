"""ExcessMTL."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from mtsearch.balancing.base import Balancing
from mtsearch.balancing.compat import aggregation, restore, state_of
from mtsearch.balancing.gradients import GradientBalancing
from mtsearch.balancing.jacobian import Jacobian
from mtsearch.config import schema


class ExcessMTL(GradientBalancing):
    """Update the weights by exponentiated gradient steps along the excess risks ``g_i^T H_i^-1
    g_i`` (He et al. 2024, equations 6, 7 and 9).

    ``H_i`` is the square root of the running sum of squared gradients. The state is this sum, with
    K times the size of the shared parameters, and the weights.
    """

    task_state: ClassVar[dict[str, int]] = {"weights": 1, "squares": 1, "first": 1, "warmup": 1}
    simplex_state = "weights"

    def __init__(
        self, settings: schema.ExcessMTLConfig, preference: Tensor, coefficient: float
    ) -> None:
        super().__init__(settings, preference, coefficient)
        options = {"robust_step_size": settings.lr, "n_warmup_steps": settings.warmup}
        self._method = aggregation("ExcessMTLWeighting", **options)

    def aggregate(self, jacobian: Jacobian, losses: Tensor) -> list[Tensor]:
        matrix = jacobian.matrix()
        self._start_late_tasks(matrix)
        return jacobian.combine(self._method(matrix))

    def _start_late_tasks(self, matrix: Tensor) -> None:
        """Initialise tasks that had no labels in all earlier steps with their risk in this step.
        Risks are divided by the initial risk, which must not be 0."""
        state = state_of(self._method)
        scale = state["warmup"] if state["first"] is None else state["first"]
        if state["steps"] < max(1, self.settings.warmup) or bool((scale > 0).all()):
            return
        risks = (matrix**2 / (state["squares"] + matrix**2 + 1e-7).sqrt()).sum(1)
        factor = max(1, self.settings.warmup) if state["first"] is None else 1
        state["warmup" if state["first"] is None else "first"] = torch.where(
            scale > 0, scale, factor * risks
        )
        restore(self._method, state, matrix.device)

    def absorb(self, part: Balancing, tasks: list[int]) -> None:
        before = state_of(self._method)["steps"]
        super().absorb(part, tasks)
        state = state_of(self._method)
        if 0 < before < state["steps"] <= self.settings.warmup:  # the mean of absent tasks stays
            absent = [task for task in range(len(self.task_weights)) if task not in tasks]
            state["warmup"][absent] *= state["steps"] / before
            restore(self._method, state, state["squares"].device)

    def state_dict(self) -> dict[str, Any]:
        return state_of(self._method)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        squares = state["squares"]
        if squares is not None and len(squares) != len(self.preference):
            raise ValueError(
                f"State of `ExcessMTL` should be of {len(self.preference)} tasks. Found"
                f" {len(squares)}."
            )
        restore(self._method, state, self.task_weights.device)
