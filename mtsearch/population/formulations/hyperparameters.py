"""Auxiliary tasks trained with other hyperparameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from mtsearch.population.formulations.base import Formulation
from mtsearch.population.task import Task


class Hyperparameters(Formulation):
    """Learning rate and weight decay are each multiplied by a sample of U(1 - `spread`, 1 +
    `spread`); the momentum of SGD is sampled from U(0.8, 1) if it is not 0.

    With ``optimiser_state: momentum_only`` a visitor keeps the values of its own task. With
    ``copy`` it takes those of the donor, as in population-based training.
    """

    def derive(self, task: Task, noise: torch.Generator) -> Task:
        spread, settings = self.settings.spread, task.optimizer
        low = 1 - spread
        changes: dict[str, Any] = {}
        for key in ("lr", "weight_decay"):
            changes[key] = getattr(settings, key) * (
                low + 2 * spread * torch.rand((), generator=noise).item()
            )
        drawn = 0.8 + 0.2 * torch.rand((), generator=noise).item()
        if getattr(settings, "momentum", 0):
            changes["momentum"] = drawn
        return replace(
            task, optimizer=settings.model_validate({**settings.model_dump(), **changes})
        )
