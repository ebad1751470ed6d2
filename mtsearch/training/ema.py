"""Exponential moving average of the weights. In the last phase of a trial it is evaluated and
selected in place of the weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class Average:
    """``average <- decay * average + (1 - decay) * weights`` after every step; buffers are copied.

    The decay of update n is at most (1 + n) / (10 + n), which reduces the influence of the initial
    weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model)
        self._source = model
        self._decay = decay
        self._updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Update the average with the current weights."""
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        torch._foreach_lerp_(
            list(self.model.parameters()), list(self._source.parameters()), 1 - decay
        )
        for mine, theirs in zip(self.model.buffers(), self._source.buffers(), strict=True):
            mine.copy_(theirs)

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged weights and the number of updates."""
        return {"model": self.model.state_dict(), "updates": self._updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.model.load_state_dict(state["model"])
        self._updates = state["updates"]
