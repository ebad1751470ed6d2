"""Nash-MTL."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from torch import Tensor

from mtsearch.balancing.base import balancing
from mtsearch.balancing.min_norm import gramian_factor
from mtsearch.balancing.weighting import Weighting, torchjd
from mtsearch.config import schema


@balancing(schema.NashMTL)
class NashMTL(Weighting):
    """``G w = 1 / w``, the Nash bargaining solution (Navon et al. 2022, algorithm 1), by a sequence of convex programs.

    The method reads the Jacobian through its Gramian only, so a factor of the Gramian stands for it. Its state is the last weights, where
    the next solution starts, with the length they belong to and the number of steps.
    """

    scale_free = False  # `max_norm` bounds the update itself

    def __init__(self, settings: schema.NashMTL, preference: Tensor, coefficient: float) -> None:
        super().__init__(settings, preference, coefficient)
        options = {"max_norm": settings.max_norm, "update_weights_every": settings.every, "optim_niter": settings.iterations}
        self._method = torchjd(settings.name, "NashMTL", n_tasks=len(self.preference), **options).weighting

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        if len(gramian) == 1:  # nobody to bargain with, and the solver takes no single number
            longest = self.settings.max_norm or math.inf
            return (longest / gramian[0].sqrt()).clamp_max(1.0)
        with warnings.catch_warnings(action="ignore"):  # the solver says in each step that it cannot reuse its problem
            return self._method(gramian_factor(gramian))  # type: ignore[no-any-return]

    def state_dict(self) -> dict[str, Any]:
        method = self._method
        last, length = [float(v) for v in method.prvs_alpha], float(method.normalization_factor[0])
        return {**super().state_dict(), "last": last, "length": length, "steps": int(method.step)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if len(state["last"]) != len(self.preference):
            raise ValueError(f"State of `NashMTL` should be of {len(self.preference)} tasks. Found {len(state['last'])}.")
        method = self._method
        method.reset()
        if state["steps"] > 0:
            method.prvs_alpha = np.array(state["last"])
            method.normalization_factor = np.array([state["length"]])
            method._init_optim_problem()
            method.step = float(state["steps"])
