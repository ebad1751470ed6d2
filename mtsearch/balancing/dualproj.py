"""DualProj."""

from __future__ import annotations

from typing import Any

from mtsearch.balancing.weighting import TorchJD


class DualProj(TorchJD):
    """``P(sum_i k_i g_i)``, P the projection on the dual cone of the gradients (Lopez-Paz & Ranzato
    2017, equation 11)."""

    method = "DualProjWeighting"

    def options(self) -> dict[str, Any]:
        return {"pref_vector": self.preference}
