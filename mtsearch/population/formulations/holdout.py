"""Auxiliary tasks that leave out another random part of the data each."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from mtsearch.population.formulations.base import Formulation
from mtsearch.population.task import Task


class Holdout(Formulation):
    """Each task trains on a random 1 - `holdout_fraction` of the data (Zhang et al. 2020).

    With ``validation_policy: independent`` that is what its own hold-out leaves. Where the hold-out
    is shared, an auxiliary task leaves a random part of the rest unused, so that the tasks' data
    differ and nothing that any task is judged on is trained on.
    """

    def derive(self, task: Task, noise: torch.Generator) -> Task:
        if self.config.mto.validation_policy == "independent":
            return task
        count = len(task.train)
        kept = count - math.floor(self.config.mto.holdout_fraction * count + 1e-9)
        return replace(task, train=task.train[torch.randperm(count, generator=noise)[:kept]])
