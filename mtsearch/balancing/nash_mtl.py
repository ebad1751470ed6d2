"""Nash-MTL."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtsearch.balancing.min_norm import gramian_factor
from mtsearch.balancing.weighting import Weighting, torchjd
from mtsearch.config import schema

SOLVED = 1e-2
"""How far ``w_i (G w)_i`` may be from 1; a solution has some 1e-6."""


def _missed(gramian: Tensor, weights: Tensor) -> float:
    """How far weights (K,) are from solving ``G w = 1 / w``; infinite where they are no numbers."""
    found = float((weights * (gramian @ weights) - 1).abs().max())
    return math.inf if math.isnan(found) else found


class NashMTL(Weighting):
    """``G w = 1 / w``, the Nash bargaining solution (Navon et al. 2022, algorithm 1), by a sequence
    of convex programs.

    The method reads the Jacobian through its Gramian only, so a factor of the Gramian stands for
    it. TorchJD's solver fails without a word where gradients are small, as those of mean losses are
    late in training, or far apart in length: where its weights are no solution, that of ``s G``
    from a fresh start is taken, s bringing the trace to [0.5, 1); ``sqrt(s)`` times it solves G.
    The state is the last weights, where the next solution starts, with the length they belong to
    and the number of steps.
    """

    scale_free = False  # `max_norm` bounds the update itself

    def __init__(
        self, settings: schema.NashMTLConfig, preference: Tensor, coefficient: float
    ) -> None:
        super().__init__(settings, preference, coefficient)
        self._method = self._solver(max_norm=settings.max_norm, update_weights_every=settings.every)

    def _solver(self, **options: Any) -> Any:
        options |= {"n_tasks": len(self.preference), "optim_niter": self.settings.iterations}
        return torchjd(self.settings.name, "NashMTL", **options).weighting

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        if len(gramian) == 1:  # nobody to bargain with, and the solver takes no single number
            longest = self.settings.max_norm or math.inf
            return (longest / gramian[0].sqrt()).clamp_max(1.0)
        solves = self._method.step % self.settings.every == 0
        with warnings.catch_warnings(
            action="ignore"
        ):  # the solver says in each step that it cannot reuse its problem
            weights: Tensor = self._method(gramian_factor(gramian))
            if (
                not solves
                or (
                    missed := _missed(
                        gramian, torch.as_tensor(self._method.prvs_alpha, dtype=gramian.dtype)
                    )
                )
                <= SOLVED
            ):
                return weights
            scale = math.ldexp(1.0, -math.frexp(float(gramian.diagonal().sum()))[1])
            found: Tensor = math.sqrt(scale) * self._solver(max_norm=0.0)(
                gramian_factor(scale * gramian)
            )
        if not _missed(gramian, found) < missed:
            return weights
        self._method.prvs_alpha = found.numpy()
        length, longest = float((found @ gramian @ found).sqrt()), self.settings.max_norm
        return found * (longest / length) if 0 < longest < length else found

    def state_dict(self) -> dict[str, Any]:
        method = self._method
        last, length = [float(v) for v in method.prvs_alpha], float(method.normalization_factor[0])
        return {**super().state_dict(), "last": last, "length": length, "steps": int(method.step)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if len(state["last"]) != len(self.preference):
            raise ValueError(
                f"State of `NashMTL` should be of {len(self.preference)} tasks. Found"
                f" {len(state['last'])}."
            )
        method = self._method
        method.reset()
        if state["steps"] > 0:
            method.prvs_alpha = np.array(state["last"])
            method.normalization_factor = np.array([state["length"]])
            method._init_optim_problem()
            method.step = float(state["steps"])
