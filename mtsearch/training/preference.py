"""The weights of the objectives of a trial: the preference over tasks and the sparsity
coefficient."""

from __future__ import annotations

import torch
from torch import Tensor

from mtsearch.config.cards import DatasetCard
from mtsearch.config.preferences import check_preference
from mtsearch.config.schema import CoefficientSparsityConfig, TrialConfig


def weights_of(
    config: TrialConfig, card: DatasetCard, device: torch.device | None = None
) -> Tensor:
    """Return the preference (K,) over the tasks of the dataset, in their order; equal weights if
    none is given.

    Raises:
        BadInput: the preference misses a task or names an unknown one.
    """
    names = [task.name for task in card.tasks]
    check_preference("trial.preference", config.preference, names, card.name)
    given = config.preference or dict.fromkeys(names, 1 / len(names))
    return torch.tensor([given[name] for name in names], dtype=torch.float32, device=device)


def coefficient_of(config: TrialConfig) -> float:
    """Return the sparsity coefficient k0; 0 if sparsity is not an objective."""
    return (
        config.sparsity.coefficient
        if isinstance(config.sparsity, CoefficientSparsityConfig)
        else 0.0
    )
