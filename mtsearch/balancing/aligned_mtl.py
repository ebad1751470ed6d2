"""Aligned-MTL."""

from __future__ import annotations

from typing import Any

from mtsearch.balancing.weighting import TorchJD


class AlignedMTL(TorchJD):
    """Gradients whose principal components have one length, summed by preference (Senushkin et al.
    2023, algorithm 1)."""

    method = "AlignedMTLWeighting"

    def options(self) -> dict[str, Any]:
        return {"pref_vector": self.preference, "scale_mode": self.settings.scale}
