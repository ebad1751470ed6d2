"""Modified weighted Chebyshev scalarisation, solved by an augmented Lagrangian in closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mtsearch.balancing.base import Balancing
from mtsearch.balancing.scalariser import Scalariser
from mtsearch.balancing.simplex import best_bound, projected_multipliers
from mtsearch.config import schema


class ChebyshevAL(Scalariser):
    """Modified weighted Chebyshev: minimise ``max_i u_i``, ``u_i = k_i (g_i + epsilon sum_j g_j)``
    (Hotegni et al. 2024).

    ``g_i = (f_i - a) / s_i`` is the gap to the reference point `a`, with ``s_i`` its value at the
    first call (``normalise: initial``) or 1. The problem "minimise t subject to u_i - t <= 0" has
    the augmented Lagrangian (Rockafellar 1973) ``t + 1/(2 mu) sum_i [max(0, lambda_i + mu (u_i -
    t))^2 - lambda_i^2]``. Its minimiser over t is known in closed form, which leaves

    - weights ``p``: the projection of ``lambda + mu u`` on the simplex, taken as constants of the
      step;
    - the gradient ``sum_i p_i grad u_i``, and the value ``sum_i p_i u_i - |p - lambda|^2 / (2 mu)``
      that is returned;
    - the dual update ``lambda <- p``, on fixed evaluation data, every `period` epochs; then ``mu <-
      rho mu``.

    ``mu = 0`` is the fixed weighted sum with weights ``lambda``, ``mu -> infinity`` the plain
    maximum. Objectives with ``k_i = 0`` are not constraints, but are included in the sum over j.
    If k0 > 0, the sparsity objective is objective 0. It has a value u_0 and is included in that
    sum, but it has no multiplier: GrOWL's prox minimises it whatever p_0 is, so that any weight
    on it would only reduce the weights of the tasks.
    """

    def __init__(
        self, settings: schema.ChebyshevALConfig, preference: Tensor, coefficient: float
    ) -> None:
        super().__init__(settings, preference, coefficient)
        own = self.task_weights.new_tensor([coefficient] if coefficient > 0 else [])
        weights = torch.cat([own, self.task_weights])
        self._kept = weights.nonzero().flatten()
        self._kept_weights = weights[self._kept]
        self._first_task = len(own)
        constraints = self._kept_weights[self._first_task :]
        self._multipliers = torch.full_like(constraints, 1 / len(constraints))
        self._scale: Tensor | None = (
            None if settings.normalise == "initial" else torch.ones_like(weights)
        )
        self._scaled = False  # whether all scales are known to be set, without asking the device
        self._mu = settings.mu

    @property
    def multipliers(self) -> Tensor:
        """The multipliers ``lambda`` of the tasks with k_i > 0, on the simplex."""
        return self._multipliers

    def values(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        """Return ``u`` (m',) of the objectives with k_i > 0, with the graphs of the losses. The
        first call sets the scale."""
        if len(losses) != len(self.task_weights):
            raise ValueError(
                f"Parameter `losses` should contain {len(self.task_weights)} losses, one per task."
                f" Found {len(losses)}."
            )
        objectives = (
            torch.cat([losses.new_full((1,), penalty), losses]) if self.coefficient > 0 else losses
        )
        gaps = objectives - self.settings.reference
        if self._multipliers.device != losses.device:
            self._to(losses.device)
        if self._scale is None:
            self._scale = torch.zeros_like(gaps, dtype=torch.float64)
        if not self._scaled:
            # the first value of an objective sets its scale; at its reference point the scale is 1
            start = gaps.detach().double()
            start = torch.where(start > 0, start, 1.0)
            self._scale = torch.where(self._scale > 0, self._scale.to(start), start)
            self._scaled = True
        gaps = gaps / self._scale.to(gaps)
        return self._kept_weights.to(gaps.dtype) * (
            gaps[self._kept] + self.settings.epsilon * gaps.sum()
        )

    def __call__(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        values = self.values(losses, penalty)[self._first_task :]
        p = projected_multipliers(self._multipliers, values.detach().double(), self._mu)
        total = (p.to(values.dtype) * values).sum()
        if self._mu == 0:
            return total
        return total - ((p - self._multipliers).square().sum() / (2 * self._mu)).to(values.dtype)

    def bound(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        """Return the minimiser ``t*`` at these losses, for `mu` > 0. The values u_i of the tasks
        approach this bound from below."""
        return best_bound(
            self._multipliers,
            self.values(losses, penalty)[self._first_task :].detach().double(),
            self._mu,
        )

    def due(self, epoch: int) -> bool:
        return epoch % self.settings.period == 0 and self._mu > 0

    def end_of_epoch(self, epoch: int, losses: Tensor, penalty: float = 0.0) -> None:
        if self.due(epoch):
            values = self.values(losses.detach(), penalty)[self._first_task :]
            self._multipliers = projected_multipliers(self._multipliers, values.double(), self._mu)
            self._mu *= self.settings.rho

    def part(self, preference: Tensor, tasks: list[int]) -> Balancing:
        """Return the method over these tasks, with their multipliers rescaled to sum 1 and their
        scales. An objective that had no value so far has the scale 0."""
        part = type(self)(self.settings, preference, self.coefficient)
        kept = (self._kept[self._first_task :] - self._first_task).tolist()
        own = self._multipliers[[kept.index(task) for task in tasks if task in kept]]
        if bool(own.any()):
            part._multipliers = own / own.sum()
        part._mu = self._mu
        part._scale = None if self._scale is None else self._scale[self._objectives(tasks)]
        return part

    def absorb(self, part: Balancing, tasks: list[int]) -> None:
        assert isinstance(part, ChebyshevAL) and part._scale is not None
        if self._scale is None:
            count = self._first_task + len(self.task_weights)
            self._scale = part._scale.new_zeros(count)
        self._scale[self._objectives(tasks)] = part._scale
        self._scaled = False

    def _objectives(self, tasks: list[int]) -> list[int]:
        own = [0] if self.coefficient > 0 else []
        return [*own, *(task + len(own) for task in tasks)]

    def state_dict(self) -> dict[str, Any]:
        scale = None if self._scale is None else self._scale.tolist()
        return {"multipliers": self._multipliers.tolist(), "mu": self._mu, "scale": scale}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if len(state["multipliers"]) != len(self._multipliers):
            raise ValueError(
                f"State of `ChebyshevAL` should contain {len(self._multipliers)} multipliers. Found"
                f" {len(state['multipliers'])}."
            )
        self._multipliers = self._multipliers.new_tensor(state["multipliers"])
        self._scale = (
            None if state["scale"] is None else self._multipliers.new_tensor(state["scale"])
        )
        self._scaled = False
        self._mu = state["mu"]

    def _to(self, device: torch.device) -> None:
        self._kept, self._kept_weights = self._kept.to(device), self._kept_weights.to(device)
        self._multipliers = self._multipliers.to(device)
        if self._scale is not None:
            self._scale = self._scale.to(device)
