"""FAMO."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mtsearch.balancing.scalariser import Scalariser
from mtsearch.config import schema


class FAMO(Scalariser):
    """``c sum_i z_i log f_i`` with ``z = softmax(w)`` (Liu et al. 2023, algorithm 2): Adam moves w
    towards the losses that fell least.

    How far they fell is seen by evaluating the step's batch again after the step. The state is w
    and Adam's.
    """

    def __init__(self, settings: schema.FAMOConfig, preference: Tensor, coefficient: float) -> None:
        super().__init__(settings, preference, coefficient)
        from torchjd.scalarization import (
            FAMO as Method,
        )  # loads TorchJD's solvers, which takes a second or two

        self._method = Method(
            len(preference), lr=settings.lr, weight_decay=settings.weight_decay
        ).to(preference)

    def __call__(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        return self._method(losses)

    def after_step(self, losses: Callable[[], Tensor]) -> None:
        self._method.update(losses())

    def state_dict(self) -> dict[str, Any]:
        optimizer, logits = self._method._optimizer, self._method._w
        adam = (
            {}
            if optimizer is None
            else {key: value.clone() for key, value in optimizer.state[logits].items()}
        )
        return {"logits": logits.detach().clone(), "adam": adam}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        method = self._method
        if state["logits"].shape != method._w.shape:
            raise ValueError(
                f"State of `FAMO` should be of {len(method._w)} tasks. Found"
                f" {len(state['logits'])}."
            )
        method.reset()
        with torch.no_grad():
            method._w.copy_(state["logits"])
        if state["adam"]:
            optimizer = torch.optim.Adam(
                [method._w], lr=self.settings.lr, weight_decay=self.settings.weight_decay
            )
            optimizer.state[method._w] = {
                key: value.clone() for key, value in state["adam"].items()
            }
            method._optimizer = optimizer
