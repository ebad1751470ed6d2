"""CAGrad."""

from __future__ import annotations

from typing import Any

from mtsearch.balancing.base import balancing
from mtsearch.balancing.weighting import TorchJD
from mtsearch.config import schema


@balancing(schema.CAGrad)
class CAGrad(TorchJD):
    """``max_d min_i <g_i, d>`` with ``|d - g| <= c |g|``, g the mean gradient (Liu et al. 2021, algorithm 1)."""

    method = "CAGradWeighting"

    def options(self) -> dict[str, Any]:
        return {"c": self.settings.radius}
