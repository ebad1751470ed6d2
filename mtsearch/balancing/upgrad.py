"""UPGrad."""

from __future__ import annotations

from typing import Any

from mtsearch.balancing.weighting import TorchJD


class UPGrad(TorchJD):
    """``sum_i k_i P(g_i)``, P the projection on the dual cone of the gradients, so that no task
    conflicts (Quinton & Rey 2024)."""

    method = "UPGradWeighting"

    def options(self) -> dict[str, Any]:
        return {"pref_vector": self.preference}
