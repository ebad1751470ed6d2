"""Auxiliary tasks that each leave out a different random part of the data."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from mtsearch.population.formulations.base import Formulation
from mtsearch.population.task import Task


class Holdout(Formulation):
    """Each task trains on a random fraction 1 - `holdout_fraction` of the data (Zhang et al. 2020).

    With ``validation_policy: independent`` these are the images outside its own hold-out. If the
    hold-out is shared, an auxiliary task also leaves a random part of the other images unused, so
    that the data of the tasks differ and no task trains on the hold-out.
    """

    def derive(self, task: Task, noise: torch.Generator) -> Task:
        if self.config.mto.validation_policy == "independent":
            return task
        count = len(task.train)
        kept = count - math.floor(self.config.mto.holdout_fraction * count + 1e-9)
        return replace(task, train=task.train[torch.randperm(count, generator=noise)[:kept]])
