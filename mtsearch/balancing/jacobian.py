"""The gradients of several losses at the same places."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

PIECE = 1 << 18  # columns that are held in float64 at once


class Jacobian:
    """The Jacobian of K losses in parts: `blocks` hold (K, *shape) for each tensor that was
    differentiated by.

    `over_ranks` sums a tensor over ranks that hold other coordinates of the same Jacobian (the
    features of their own images): then the Gramian is that of all of them.
    """

    def __init__(
        self, blocks: Sequence[Tensor], over_ranks: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self.blocks = list(blocks)
        self._over_ranks = over_ranks

    def gramian(self) -> Tensor:
        """``J J^T`` (K, K) in float64 on the CPU, where the solvers are: squares of small gradients
        would vanish in less."""
        k = len(self.blocks[0])
        gramian = torch.zeros(k, k, dtype=torch.float64, device=self.blocks[0].device)
        for block in self.blocks:
            for columns in (
                block.detach().flatten(1).split(PIECE, dim=1)
            ):  # a float64 copy of a large feature map would not fit
                piece = columns.double()
                gramian.addmm_(piece, piece.T)
        return (gramian if self._over_ranks is None else self._over_ranks(gramian)).cpu()

    def combine(self, weights: Tensor) -> list[Tensor]:
        """``w^T J`` for weights (K,), in the shapes of the tensors."""
        return [torch.tensordot(weights.to(block), block, dims=1) for block in self.blocks]

    def matrix(self) -> Tensor:
        """``J`` (K, n) in one piece."""
        return torch.cat([block.flatten(1) for block in self.blocks], dim=1)

    def split(self, vector: Tensor) -> list[Tensor]:
        """A vector (n,) over all places, in the shapes of the tensors."""
        parts = vector.split([block[0].numel() for block in self.blocks])
        return [part.view(block.shape[1:]) for part, block in zip(parts, self.blocks, strict=True)]

    def with_blocks(self, blocks: Sequence[Tensor]) -> Jacobian:
        """Other gradients at the same places."""
        return Jacobian(blocks, self._over_ranks)
