"""Auxiliary tasks that equal the target except for their seed."""

from __future__ import annotations

import torch

from mtsearch.population.formulations.base import Formulation
from mtsearch.population.task import Task


class Seed(Formulation):
    """The same images and loss, with another initialisation, order and augmentation from the task's
    own random streams."""

    def derive(self, task: Task, noise: torch.Generator) -> Task:
        return task
