"""Auxiliary tasks on bootstrap samples of the training images."""

from __future__ import annotations

from dataclasses import replace

import torch

from mtsearch.population.formulations.base import Formulation
from mtsearch.population.task import Task


class Bootstrap(Formulation):
    """A sample of size n with replacement from the task's n training images. The hold-out is
    removed before, so that no image is in both."""

    def derive(self, task: Task, noise: torch.Generator) -> Task:
        count = len(task.train)
        return replace(task, train=task.train[torch.randint(count, (count,), generator=noise)])
