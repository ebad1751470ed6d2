"""The Jacobian of several losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

CHUNK = 1 << 18  # columns that are converted to float64 at once


class Jacobian:
    """The Jacobian of K losses, in blocks.

    Args:
        blocks: (K, *shape) for each tensor with respect to which the losses were differentiated.
        over_ranks: sums a tensor over the ranks, each of which holds other coordinates of the same
            Jacobian (the features of its own images). The Gramian then covers all ranks. None for
            one rank.
    """

    def __init__(
        self, blocks: Sequence[Tensor], over_ranks: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self.blocks = list(blocks)
        self._over_ranks = over_ranks

    def gramian(self) -> Tensor:
        """Return ``J J^T`` (K, K) in float64 on the CPU, where the solvers run. In lower precision
        the squares of small gradients would underflow."""
        k = len(self.blocks[0])
        gramian = torch.zeros(k, k, dtype=torch.float64, device=self.blocks[0].device)
        for block in self.blocks:
            # in chunks, because a float64 copy of a large feature map may not fit into memory
            for columns in block.detach().flatten(1).split(CHUNK, dim=1):
                chunk = columns.double()
                gramian.addmm_(chunk, chunk.T)
        return (gramian if self._over_ranks is None else self._over_ranks(gramian)).cpu()

    def combine(self, weights: Tensor) -> list[Tensor]:
        """Return ``w^T J`` for weights (K,), in the shapes of the differentiated tensors."""
        return [torch.tensordot(weights.to(block), block, dims=1) for block in self.blocks]

    def matrix(self) -> Tensor:
        """Return ``J`` (K, n) as one matrix."""
        return torch.cat([block.flatten(1) for block in self.blocks], dim=1)

    def split(self, vector: Tensor) -> list[Tensor]:
        """Split a vector (n,) over all coordinates into the shapes of the differentiated
        tensors."""
        parts = vector.split([block[0].numel() for block in self.blocks])
        return [part.view(block.shape[1:]) for part, block in zip(parts, self.blocks, strict=True)]

    def with_blocks(self, blocks: Sequence[Tensor]) -> Jacobian:
        """Return a Jacobian with other blocks of the same shapes."""
        return Jacobian(blocks, self._over_ranks)
