"""ExcessMTL."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mtsearch.balancing.gradients import GradientBalancing
from mtsearch.balancing.jacobian import Jacobian
from mtsearch.balancing.weighting import torchjd
from mtsearch.config import schema

_TENSORS = {
    "weights": "_weights",
    "squares": "_sq_grad_sum",
    "first": "_initial_w",
    "warmup": "_warmup_w_sum",
}


class ExcessMTL(GradientBalancing):
    """Exponentiated gradient steps on the weights along the excess risks ``g_i^T H_i^-1 g_i`` (He
    et al. 2024, equations 6, 7 and 9).

    ``H_i`` is the root of the running sum of squared gradients: the state is K times the shared
    parameters, and the weights.
    """

    def __init__(
        self, settings: schema.ExcessMTLConfig, preference: Tensor, coefficient: float
    ) -> None:
        super().__init__(settings, preference, coefficient)
        options = {"robust_step_size": settings.lr, "n_warmup_steps": settings.warmup}
        self._method = torchjd(settings.name, "ExcessMTLWeighting", **options)

    def aggregate(self, jacobian: Jacobian, losses: Tensor) -> list[Tensor]:
        return jacobian.combine(self._method(jacobian.matrix()))

    def state_dict(self) -> dict[str, Any]:
        tensors = {key: getattr(self._method, name) for key, name in _TENSORS.items()}
        return {key: None if value is None else value.clone() for key, value in tensors.items()} | {
            "steps": self._method._n_steps
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        squares = state["squares"]
        if squares is not None and len(squares) != len(self.preference):
            raise ValueError(
                f"State of `ExcessMTL` should be of {len(self.preference)} tasks. Found"
                f" {len(squares)}."
            )
        self._method.reset()
        if squares is not None:
            device = self.task_weights.device
            for key, name in _TENSORS.items():
                setattr(
                    self._method,
                    name,
                    None if state[key] is None else state[key].to(device, copy=True),
                )
            self._method._n_steps = state["steps"]
            self._method._state_key = (*squares.shape, squares.dtype, device)
