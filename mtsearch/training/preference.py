"""How much each objective of a trial counts: the tasks, and sparsity beside them."""

from __future__ import annotations

import torch
from torch import Tensor

from mtsearch.config.cards import DatasetCard
from mtsearch.config.preferences import check_preference
from mtsearch.config.schema import CoefficientSparsityConfig, TrialConfig


def weights_of(
    config: TrialConfig, card: DatasetCard, device: torch.device | None = None
) -> Tensor:
    """The preference (K,) over the dataset's tasks, in their order; equal weights where none is
    given.

    Raises:
        BadInput: a task is missing in it, or is none of the dataset's.
    """
    names = [task.name for task in card.tasks]
    check_preference("trial.preference", config.preference, names, card.name)
    given = config.preference or dict.fromkeys(names, 1 / len(names))
    return torch.tensor([given[name] for name in names], dtype=torch.float32, device=device)


def coefficient_of(config: TrialConfig) -> float:
    """The sparsity coefficient k0; 0 where sparsity is no objective."""
    return (
        config.sparsity.coefficient
        if isinstance(config.sparsity, CoefficientSparsityConfig)
        else 0.0
    )
