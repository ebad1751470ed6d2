"""IMTL-L."""

from __future__ import annotations

from mtsearch.balancing.trainable import TrainableScalariser


class IMTLL(TrainableScalariser):
    """``sum_i (exp(s_i) f_i - s_i)`` with learned scales ``s_i`` (Liu et al. 2021). It differs from
    `uncertainty` in the sign of ``s_i`` and a constant factor."""

    method = "IMTLL"
