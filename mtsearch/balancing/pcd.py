"""Priority-constrained descent."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mtsearch.balancing.weighting import TorchJD
from mtsearch.config import schema
from mtsearch.config.errors import BadInput


class PCD(TorchJD):
    """The nearest step to the primary gradient that serves each other task by at least `tau` (Varam
    et al. 2026).

    The state is the running mean of the gradients' squared lengths, the primary task's first.
    """

    method = "PCDWeighting"
    scale_free = False  # the running mean is of the lengths themselves

    def __init__(self, settings: schema.PCDConfig, preference: Tensor, coefficient: float) -> None:
        super().__init__(settings, preference, coefficient)
        k = len(self.preference)
        if settings.primary >= k:
            raise BadInput(
                f"`trial.balancing.primary` should be the number of a task, 0 to {k - 1}. Found"
                f" {settings.primary}."
            )
        self._order = torch.tensor(
            [settings.primary, *(i for i in range(k) if i != settings.primary)]
        )

    def options(self) -> dict[str, Any]:
        return {"tau": self.settings.tau, "beta": self.settings.rate, "eps": 0.0}

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        weights = torch.empty_like(gramian[0])
        weights[self._order] = super().weigh(gramian[self._order][:, self._order], losses)
        return weights

    def state_dict(self) -> dict[str, Any]:
        steps = self._method._n_steps
        return {
            **super().state_dict(),
            "squares": self._method._sq_norm_ema,
            "steps": 0 if steps is None else int(steps),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._method.reset()
        squares = self.restored(state["squares"])
        if squares is not None:
            self._method._sq_norm_ema = squares
            self._method._n_steps = torch.tensor(state["steps"])
            self._method._state_key = len(squares)
