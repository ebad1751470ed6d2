"""PCGrad."""

from __future__ import annotations

from mtsearch.balancing.weighting import TorchJD


class PCGrad(TorchJD):
    """Gradient surgery (Yu et al. 2020, algorithm 1). The order of the projections is random in
    each step."""

    method = "PCGradWeighting"
