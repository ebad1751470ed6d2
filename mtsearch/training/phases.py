"""The phases of a trial: one for dense training, a search and a retraining phase for sparse
training, and before them a phase that trains teachers, if there are any. A sparsity ladder adds a
phase for each level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mtsearch.config.pareto_sets import SparsityLadderConfig
from mtsearch.config.schema import CoefficientSparsityConfig, NoSparsityConfig, TrialConfig
from mtsearch.models import MultiTaskModel
from mtsearch.sparsity import Structure, measures


@dataclass(frozen=True)
class Phase:
    """Consecutive epochs with their own optimiser and learning-rate schedule."""

    name: str  # teach, train, search, retrain, or level_01, level_02, ... of a sparsity ladder
    epochs: int
    level: float | None = None  # fraction of zero rows, of a level


def plan(config: TrialConfig) -> list[Phase]:
    """Return the phases with at least one epoch. Dense training has the epochs of search and
    retrain together, so that dense and sparse trials train equally long."""
    epochs = config.epochs
    phases = [Phase("teach", getattr(config.architecture, "teacher_epochs", 0))]
    if isinstance(config.sparsity, NoSparsityConfig):
        phases.append(Phase("train", epochs.search + epochs.retrain))
    else:
        phases += [Phase("search", epochs.search), Phase("retrain", epochs.retrain)]
    if isinstance(ladder := config.pareto_set, SparsityLadderConfig):
        phases += [
            Phase(f"level_{i:02d}", ladder.epochs, level)
            for i, level in enumerate(ladder.levels, start=1)
        ]
    return [phase for phase in phases if phase.epochs]


def unmet_targets(model: MultiTaskModel, sparsity: Any, structure: Structure) -> dict[str, float]:
    """Return metrics of targets that the search phase has missed. ``search/shortfall``: the
    difference between `min_rate` and the sparsity rate, in percent of rows, at least 0.
    ``search/unconverged``: the number of layers that were not tied."""
    found: dict[str, float] = {}
    if isinstance(sparsity, CoefficientSparsityConfig) and sparsity.min_rate > 0:
        found["search/shortfall"] = max(
            0.0, sparsity.min_rate - measures(model)["model/sparsity_rate"]
        )
    if sparsity.share is not None and sparsity.share.method == "affinity":
        found["search/unconverged"] = float(len(structure.unconverged))
    return found
