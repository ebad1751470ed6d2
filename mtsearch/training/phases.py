"""The phases of a trial: dense training has one, sparse training searches and then retrains what it found; teachers come first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mtsearch.config.schema import NoSparsity, TrialConfig


@dataclass(frozen=True)
class Phase:
    """A stretch of epochs with its own optimiser and learning-rate schedule."""

    name: Literal["teach", "train", "search", "retrain"]
    epochs: int


def plan(config: TrialConfig) -> list[Phase]:
    """The phases with at least one epoch. Dense training lasts as long as search and retrain together, for comparisons at equal epochs."""
    epochs = config.epochs
    phases = [Phase("teach", getattr(config.architecture, "teacher_epochs", 0))]
    if isinstance(config.sparsity, NoSparsity):
        phases.append(Phase("train", epochs.search + epochs.retrain))
    else:
        phases += [Phase("search", epochs.search), Phase("retrain", epochs.retrain)]
    return [phase for phase in phases if phase.epochs]
