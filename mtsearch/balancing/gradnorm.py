"""GradNorm."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from mtsearch.balancing.weighting import Weighting
from mtsearch.config import schema


class GradNorm(Weighting):
    """Learn weights with which the gradient lengths ``n_i = w_i |g_i|`` approach ``mean(n)
    r_i^alpha`` (Chen et al. 2018, equations 1 and 2).

    ``r_i`` is the relative inverse training rate: the ratio of the loss to its value in the first
    step, divided by the mean of these ratios over the tasks. The weights are ``K softmax(v)``, so
    that they stay positive with sum K. Adam with learning rate `lr` minimises ``sum_i |n_i -
    mean(n) r_i^alpha| / mean(n)`` with constant targets; the divisor makes the step independent of
    the scale of the gradients. The state is v, the state of Adam, and the first losses.
    """

    scale_free = False

    task_state: ClassVar[dict[str, int]] = {
        **Weighting.task_state,
        "logits": 1,
        "adam": 1,
        "first": 1,
    }

    def __init__(
        self, settings: schema.GradNormConfig, preference: Tensor, coefficient: float
    ) -> None:
        super().__init__(settings, preference, coefficient)
        self._logits = torch.zeros_like(self.preference).requires_grad_()
        self._optimizer = torch.optim.Adam([self._logits], lr=settings.lr)
        self._first: Tensor | None = None

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        losses = losses.to(gramian)
        if self._first is None:
            self._first = torch.zeros_like(losses)
        if not bool((self._first > 0).all()):  # tasks that had no labels before this step
            self._first = torch.where(
                self._first > 0, self._first, torch.where(losses > 0, losses, 1.0)
            )
        weights = len(losses) * self._logits.softmax(0)
        lengths = weights * gramian.diagonal().clamp_min(0).sqrt()
        ratios = losses / self._first
        mean = lengths.detach().mean()
        targets = mean * (ratios / ratios.mean()).clamp_min(0) ** self.settings.alpha
        ((lengths - targets).abs().sum() / mean).backward(inputs=[self._logits])
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return weights.detach()

    def state_dict(self) -> dict[str, Any]:
        adam = {key: value.clone() for key, value in self._optimizer.state[self._logits].items()}
        return {
            **super().state_dict(),
            "logits": self._logits.detach().clone(),
            "adam": adam,
            "first": self._first,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        logits = self.restored(state["logits"])
        assert logits is not None
        with torch.no_grad():
            self._logits.copy_(logits)
        self._optimizer.state[self._logits] = {
            key: value.cpu().clone() for key, value in state["adam"].items()
        }
        self._first = self.restored(state["first"])
