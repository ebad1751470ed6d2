"""GradVac."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mtsearch.balancing.weighting import TorchJD


class GradVac(TorchJD):
    """Gradient vaccine (Wang et al. 2021): a gradient whose cosine with another lies below their
    running mean is turned to reach it.

    The state is that running mean (K, K).
    """

    method = "GradVacWeighting"

    def options(self) -> dict[str, Any]:
        return {"beta": self.settings.rate}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "cosines": _copy(self._method._phi_t)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._method.reset()
        cosines = _copy(self.restored(state["cosines"]))  # the method updates them in place
        if cosines is not None:
            self._method._phi_t = cosines
            self._method._state_key = (len(cosines), torch.float64)


def _copy(value: Tensor | None) -> Tensor | None:
    return None if value is None else value.clone()
