"""Aligned-MTL."""

from __future__ import annotations

import torch
from torch import Tensor

from mtsearch.balancing.gramians import gramian_factor
from mtsearch.balancing.weighting import Weighting


class AlignedMTL(Weighting):
    """Rescale the principal components of the gradients to one length and sum the gradients by
    preference (Senushkin et al. 2023, algorithm 1).

    The singular values are computed from a factor of the Gramian instead of as square roots of its
    eigenvalues, so that they remain accurate for gradients whose lengths differ by up to 1e8.
    """

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        vectors, values, _ = torch.linalg.svd(gramian_factor(gramian))
        kept = values > len(values) * torch.finfo(values.dtype).eps * values[0]
        vectors, values = vectors[:, kept], values[kept]
        scale = {"min": values.min, "median": values.square().median, "rmse": values.square().mean}
        level = scale[self.settings.scale]()
        if self.settings.scale != "min":
            level = level.sqrt()
        weights: Tensor = level * vectors @ ((vectors.T @ self.preference) / values)
        return weights
