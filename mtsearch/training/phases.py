"""The phases of a trial: dense training has one, sparse training searches and then retrains what it found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mtsearch.config.schema import NoSparsity, TrialConfig


@dataclass(frozen=True)
class Phase:
    """A stretch of epochs with its own optimiser and learning-rate schedule."""

    name: Literal["train", "search", "retrain"]
    epochs: int


def plan(config: TrialConfig) -> list[Phase]:
    """The phases with at least one epoch. Dense training lasts as long as search and retrain together, for comparisons at equal epochs."""
    epochs = config.epochs
    if isinstance(config.sparsity, NoSparsity):
        return [Phase("train", epochs.search + epochs.retrain)]
    return [phase for phase in (Phase("search", epochs.search), Phase("retrain", epochs.retrain)) if phase.epochs]
