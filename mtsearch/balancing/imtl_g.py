"""IMTL-G."""

from __future__ import annotations

from mtsearch.balancing.weighting import TorchJD


class IMTLG(TorchJD):
    """Weights of sum 1, some of them negative, with which the sum projects equally on all unit
    gradients (Liu et al. 2021)."""

    method = "IMTLGWeighting"
