"""Pruning by row magnitude at once, before a phase in which the zero rows stay zero."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from mtsearch.config.sparsity import TargetSparsityConfig
from mtsearch.sparsity.sparsifier import Sparsifier


class Pruning(Sparsifier):
    """Zeroes the rows with the smallest norms when it is made; afterwards it only keeps them zero.

    Args:
        model: the network; its weights are changed in place.
        prunable: names of its Linear and ungrouped Conv2d modules whose rows become zero.
        level: the fraction of zero rows of each of them, those that are zero already included.
    """

    def __init__(self, model: nn.Module, prunable: Sequence[str], level: float) -> None:
        config = TargetSparsityConfig(target=level, method="magnitude")
        super().__init__(model, prunable, config, total_steps=1, steps_per_epoch=1)
        self.apply(1.0)

    def due(self, step: int) -> bool:
        """Never: the rows were chosen before the first step."""
        return False
