"""The phases of a trial: dense training has one, sparse training searches and then retrains what it
found; teachers come first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from mtsearch.config.schema import CoefficientSparsityConfig, NoSparsityConfig, TrialConfig
from mtsearch.models import MultiTaskModel
from mtsearch.sparsity import Structure, measures


@dataclass(frozen=True)
class Phase:
    """A stretch of epochs with its own optimiser and learning-rate schedule."""

    name: Literal["teach", "train", "search", "retrain"]
    epochs: int


def plan(config: TrialConfig) -> list[Phase]:
    """The phases with at least one epoch. Dense training lasts as long as search and retrain
    together, for comparisons at equal epochs."""
    epochs = config.epochs
    phases = [Phase("teach", getattr(config.architecture, "teacher_epochs", 0))]
    if isinstance(config.sparsity, NoSparsityConfig):
        phases.append(Phase("train", epochs.search + epochs.retrain))
    else:
        phases += [Phase("search", epochs.search), Phase("retrain", epochs.retrain)]
    return [phase for phase in phases if phase.epochs]


def shortfalls(model: MultiTaskModel, sparsity: Any, structure: Structure) -> dict[str, float]:
    """What a search phase hands on with less than was asked for. `search/shortfall`: percent of
    rows that the model lacks of `min_rate`; `search/unconverged`: layers left untied."""
    found: dict[str, float] = {}
    if isinstance(sparsity, CoefficientSparsityConfig) and sparsity.min_rate > 0:
        found["search/shortfall"] = max(
            0.0, sparsity.min_rate - measures(model)["model/sparsity_rate"]
        )
    if sparsity.share is not None and sparsity.share.method == "affinity":
        found["search/unconverged"] = float(len(structure.unconverged))
    return found
