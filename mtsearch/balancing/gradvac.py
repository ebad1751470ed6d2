"""GradVac."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from mtsearch.balancing.compat import restore, state_of
from mtsearch.balancing.weighting import TorchJD


class GradVac(TorchJD):
    """Gradient vaccine (Wang et al. 2021). A gradient whose cosine with another gradient lies below
    the running mean of their cosines is changed so that the cosine equals that mean.

    The state is the running mean (K, K).
    """

    method = "GradVacWeighting"
    task_state: ClassVar[dict[str, int]] = {**TorchJD.task_state, "cosines": 2}

    def options(self) -> dict[str, Any]:
        # TorchJD's default eps of 1e-8 would halve the cosines of gradients that are 1e-4 times as
        # long as the others.
        return {"beta": self.settings.rate, "eps": 1e-20}

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        return torch.where(gramian.diagonal() > 0, super().weigh(gramian, losses), 0.0)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), **state_of(self._method)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        restore(self._method, {"cosines": self.restored(state["cosines"])})
