"""SDMGrad."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from mtsearch.balancing.compat import restore, state_of
from mtsearch.balancing.weighting import TorchJD


class SDMGrad(TorchJD):
    """Direction-oriented MGDA (Xiao et al. 2023). Each update makes a few projected gradient steps
    on the weights, which are the state.

    The published method computes ``J_1 J_2^T`` from two batches and the update from a third; here
    one batch is used for all three. The learning rate `lr` is limited to ``(1 + momentum) / L``,
    with L the largest eigenvalue of the normalised Gramian, because larger steps do not converge.
    One long gradient among K short ones gives an L of about K^2.
    """

    method = "SDMGradWeighting"
    task_state: ClassVar[dict[str, int]] = {**TorchJD.task_state, "weights": 1}
    simplex_state = "weights"

    def options(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "lr": settings.lr,
            "momentum": settings.momentum,
            "n_iter": settings.iterations,
            "lambda_": settings.pull,
            "pref_vector": self.preference,
        }

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        scale = float(gramian.diagonal().sqrt().mean().square())
        steepest = float(torch.linalg.eigvalsh(gramian)[-1]) / scale
        self._method.lr = min(self.settings.lr, (1 + self.settings.momentum) / steepest)
        return super().weigh(gramian, losses)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), **state_of(self._method)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        restore(self._method, {"weights": self.restored(state["weights"])})
