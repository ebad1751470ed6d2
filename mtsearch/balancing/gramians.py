"""Gramians of gradients whose lengths differ by orders of magnitude."""

from __future__ import annotations

import torch
from torch import Tensor

RANK = 1e-14
"""Eigenvalues of the unit Gramian below this times K are rounding errors of float64 and count as
0."""


def unit_gramian(gramian: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lengths ``l`` (K,) of the gradients and the Gramian ``C_ij = G_ij / (l_i l_j)``
    (K, K) of the unit gradients; rows and columns of zero gradients are 0."""
    lengths = gramian.diagonal().clamp_min(0).sqrt()
    inverse = torch.where(lengths > 0, 1 / lengths, 0.0)
    return lengths, gramian * torch.outer(inverse, inverse)


def gramian_factor(gramian: Tensor) -> Tensor:
    """Return ``R`` (K, K) with ``R R^T = G`` for a positive semidefinite ``G``. Each row is
    accurate up to rounding errors, however much the lengths of the rows differ."""
    lengths, cosines = unit_gramian(gramian)
    values, vectors = torch.linalg.eigh(cosines)
    values = torch.where(values > RANK * len(values), values, 0.0)
    return lengths[:, None] * vectors * values.sqrt()
