"""Weightings: gradient methods that compute task weights from the Gramian of the gradients."""

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

    If the weights do not depend on a common scale of the gradients (`scale_free`), the Gramian is
    first multiplied by a power of two that brings its trace into [0.5, 1), so that the absolute
    tolerances of the solvers have the same effect at all scales. (TorchJD's projections treat a
    trace below 1e-4 as zero, and mean losses give smaller traces at the shared features.) If all
    gradients are zero, the weights are 0 and the state does not change. If a gradient is not
    finite, the weights are NaN, so that the trial ends as diverged.
    """

    scale_free: ClassVar[bool] = True
    task_state: ClassVar[dict[str, int]] = {"smoothed": 1}

    def __init__(self, settings: Any, preference: Tensor, coefficient: float) -> None:
        super().__init__(settings, preference, coefficient)
        self._smoothed: Tensor | None = None

    @abstractmethod
    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Return the weights (K,).

        Args:
            gramian: (K, K) finite and not zero, float64 on the CPU.
            losses: (K,) the losses of the step.
        """

    def aggregate(self, jacobian: Jacobian, losses: Tensor) -> list[Tensor]:
        return jacobian.combine(self.weights(jacobian.gramian(), losses))

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Return the weights (K,) of one step, smoothed if the settings enable smoothing."""
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
        if fresh and self._smoothed is not None:  # absent tasks start at the mean of the others
            absent = [task for task in range(len(self._smoothed)) if task not in tasks]
            self._smoothed[absent] = self._smoothed[tasks].mean()

    def state_dict(self) -> dict[str, Any]:
        return {"smoothed": self._smoothed} if self.settings.smoothing > 0 else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._smoothed = self.restored(state.get("smoothed"))

    def restored(self, value: Tensor | None) -> Tensor | None:
        """Return a tensor of the state on the CPU. Raises ValueError if the length of its first
        axis is not the number of tasks K."""
        if value is not None and len(value) != len(self.preference):
            raise ValueError(
                f"State of `{type(self).__name__}` should be of {len(self.preference)} tasks. Found"
                f" {len(value)}."
            )
        return None if value is None else value.cpu()


class TorchJD(Weighting):
    """A weighting of TorchJD; `method` is the name of its class, `options` returns its
    arguments."""

    method: ClassVar[str]

    def __init__(self, settings: Any, preference: Tensor, coefficient: float) -> None:
        super().__init__(settings, preference, coefficient)
        self._method = aggregation(self.method, **self.options())

    def options(self) -> dict[str, Any]:
        return {}

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        return self._method(gramian)  # type: ignore[no-any-return]
