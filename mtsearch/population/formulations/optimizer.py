"""Auxiliary tasks trained with other optimisers."""

from __future__ import annotations

from dataclasses import replace

import torch

from mtsearch.config.registry import methods
from mtsearch.population.formulations.base import Formulation
from mtsearch.population.task import Task


class OtherOptimizer(Formulation):
    """A random one of `optimizers` with the target's learning rate and weight decay. SGD has its
    default momentum of 0.9."""

    def derive(self, task: Task, noise: torch.Generator) -> Task:
        names = self.settings.optimizers
        name = names[int(torch.randint(len(names), (), generator=noise))]
        kept = {"lr": self.config.optimizer.lr, "weight_decay": self.config.optimizer.weight_decay}
        return replace(
            task, optimizer=methods("optimizer")[name].model_validate({"name": name, **kept})
        )
