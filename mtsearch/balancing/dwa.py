"""Dynamic weight average."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from mtsearch.balancing.scalariser import Scalariser
from mtsearch.config import schema


class DWA(Scalariser):
    """``sum_i w_i f_i``, ``w = K softmax(r / T)``, ``r_i`` the ratio of the last two losses of
    task i (Liu et al. 2019, equation 7).

    The weights are 1 until two losses are known. The losses are measured on fixed training images
    at the end of each epoch; they are not means over the batches of the epoch. The state is the
    last two losses of each task.
    """

    task_state: ClassVar[dict[str, int]] = {"past": 1}

    def __init__(self, settings: schema.DWAConfig, preference: Tensor, coefficient: float) -> None:
        super().__init__(settings, preference, coefficient)
        self._past: list[list[float]] = []

    def __call__(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        return (self.weights(losses) * losses).sum()

    def weights(self, losses: Tensor) -> Tensor:
        """Return the weights (K,) of this epoch."""
        if len(self._past) < 2:
            return torch.ones_like(losses)
        older, newer = losses.new_tensor(self._past)
        return len(losses) * (
            newer / torch.where(older == 0, 1.0, older) / self.settings.temperature
        ).softmax(0)

    def due(self, epoch: int) -> bool:
        return True

    def end_of_epoch(self, epoch: int, losses: Tensor, penalty: float = 0.0) -> None:
        self._past = [*self._past, losses.tolist()][-2:]

    def state_dict(self) -> dict[str, Any]:
        return {"past": self._past}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if any(len(losses) != len(self.task_weights) for losses in state["past"]):
            raise ValueError(
                f"State of `DWA` should be of {len(self.task_weights)} tasks. Found"
                f" {len(state['past'][0])}."
            )
        self._past = [list(losses) for losses in state["past"]]
