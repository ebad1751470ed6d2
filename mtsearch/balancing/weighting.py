"""Weightings: gradient methods that find a weight for each task in the Gramian of the gradients."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from mtsearch.balancing.base import Balancing
from mtsearch.balancing.compat import aggregation
from mtsearch.balancing.gradients import GradientBalancing
from mtsearch.balancing.jacobian import Jacobian


class Weighting(GradientBalancing):
    """``sum_i w_i g_i`` with weights from the Gramian ``G_ij = <g_i, g_j>``.

    Where the weights do not depend on the gradients' common scale (`scale_free`), the Gramian is
    brought to a trace in [0.5, 1) first, by a power of two: a solver's absolute tolerances then
    mean the same at all scales. (TorchJD's projections take a trace below 1e-4 for zero, and mean
    losses give smaller ones at the shared features.) Gradients that are all zero keep weights and
    state as they are; gradients that are no finite numbers give weights that are none, so that the
    trial ends as diverged.
    """

    scale_free: ClassVar[bool] = True
    task_state: ClassVar[dict[str, int]] = {"smoothed": 1}

    def __init__(self, settings: Any, preference: Tensor, coefficient: float) -> None:
        super().__init__(settings, preference, coefficient)
        self._smoothed: Tensor | None = None

    @abstractmethod
    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Weights (K,) from a finite, non-zero Gramian (K, K), float64 on the CPU, and the losses
        (K,)."""

    def aggregate(self, jacobian: Jacobian, losses: Tensor) -> list[Tensor]:
        return jacobian.combine(self.weights(jacobian.gramian(), losses))

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """The weights (K,) of one step, smoothed where the settings say so."""
        if not bool(gramian.isfinite().all()):
            return torch.full_like(gramian[0], math.nan)
        trace = float(gramian.diagonal().sum())
        if trace == 0:
            return torch.zeros_like(gramian[0])
        if self.scale_free:
            gramian = gramian * math.ldexp(1.0, -math.frexp(trace)[1])
        weights = self.weigh(gramian, losses).detach()
        keep = self.settings.smoothing
        if keep > 0:
            self._smoothed = (
                weights if self._smoothed is None else keep * self._smoothed + (1 - keep) * weights
            )
            return self._smoothed
        return weights

    def absorb(self, part: Balancing, tasks: list[int]) -> None:
        fresh = self._smoothed is None
        super().absorb(part, tasks)
        if fresh and self._smoothed is not None:  # tasks that were absent start at the mean
            absent = [task for task in range(len(self._smoothed)) if task not in tasks]
            self._smoothed[absent] = self._smoothed[tasks].mean()

    def state_dict(self) -> dict[str, Any]:
        return {"smoothed": self._smoothed} if self.settings.smoothing > 0 else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._smoothed = self.restored(state.get("smoothed"))

    def restored(self, value: Tensor | None) -> Tensor | None:
        """A tensor of the state, on the CPU, whose first dimension should be the K tasks. Raises
        ValueError."""
        if value is not None and len(value) != len(self.preference):
            raise ValueError(
                f"State of `{type(self).__name__}` should be of {len(self.preference)} tasks. Found"
                f" {len(value)}."
            )
        return None if value is None else value.cpu()


class TorchJD(Weighting):
    """A weighting of TorchJD: `method` names its class, `options` gives its arguments."""

    method: ClassVar[str]

    def __init__(self, settings: Any, preference: Tensor, coefficient: float) -> None:
        super().__init__(settings, preference, coefficient)
        self._method = aggregation(self.method, **self.options())

    def options(self) -> dict[str, Any]:
        return {}

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        return self._method(gramian)  # type: ignore[no-any-return]
