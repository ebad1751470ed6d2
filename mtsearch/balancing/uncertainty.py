"""Uncertainty weighting."""

from __future__ import annotations

from mtsearch.balancing.trainable import TrainableScalariser


class Uncertainty(TrainableScalariser):
    """``sum_i (exp(-s_i) f_i + s_i) / 2`` with ``s_i`` the logarithm of the variance of task i,
    which is learned with the network (Kendall et al. 2018)."""

    method = "UW"
