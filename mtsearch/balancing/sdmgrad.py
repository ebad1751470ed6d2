"""SDMGrad."""

from __future__ import annotations

from typing import Any

from mtsearch.balancing.weighting import TorchJD


class SDMGrad(TorchJD):
    """Direction-oriented MGDA (Xiao et al. 2023): a few projected gradient steps on the weights,
    which it keeps as its state.

    The published method takes ``J_1 J_2^T`` of two batches and updates with a third; here one batch
    serves all three.
    """

    method = "SDMGradWeighting"

    def options(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "lr": settings.lr,
            "momentum": settings.momentum,
            "n_iter": settings.iterations,
            "lambda_": settings.pull,
            "pref_vector": self.preference,
        }

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "weights": self._method._w}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._method.reset()
        weights = self.restored(state["weights"])
        if weights is not None:
            self._method._w = weights
            self._method._state_key = (len(weights), weights.dtype, weights.device)
