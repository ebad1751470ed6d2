"""FAMO."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor

from mtsearch.balancing.compat import famo_state, restore_famo, scalarization
from mtsearch.balancing.scalariser import Scalariser
from mtsearch.config import schema


class FAMO(Scalariser):
    """``c sum_i z_i log f_i`` with ``z = softmax(w)`` (Liu et al. 2023, algorithm 2). Adam updates
    w so that the losses that decreased least gain weight.

    The decrease is measured by evaluating the step's batch again after the step. The state is w
    and the state of Adam.
    """

    task_state: ClassVar[dict[str, int]] = {"logits": 1, "adam": 1}

    def __init__(self, settings: schema.FAMOConfig, preference: Tensor, coefficient: float) -> None:
        super().__init__(settings, preference, coefficient)
        self._method = scalarization(
            "FAMO", len(preference), lr=settings.lr, weight_decay=settings.weight_decay
        ).to(preference)

    def __call__(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        return self._method(losses)  # type: ignore[no-any-return]

    def after_step(self, losses: Callable[[], Tensor]) -> None:
        if self._part is None:
            self._method.update(losses())
            return
        part, tasks = self._part
        part.after_step(lambda: losses()[tasks])
        self.absorb(part, tasks)

    def state_dict(self) -> dict[str, Any]:
        return famo_state(self._method)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if len(state["logits"]) != len(self.task_weights):
            raise ValueError(
                f"State of `FAMO` should be of {len(self.task_weights)} tasks. Found"
                f" {len(state['logits'])}."
            )
        restore_famo(self._method, state)
