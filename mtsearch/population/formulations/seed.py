"""Auxiliary tasks that are the target with another seed."""

from __future__ import annotations

import torch

from mtsearch.population.formulations.base import Formulation
from mtsearch.population.task import Task


class Seed(Formulation):
    """The same images and loss; the task's own streams give another initialisation, order and
    augmentation."""

    def derive(self, task: Task, noise: torch.Generator) -> Task:
        return task
