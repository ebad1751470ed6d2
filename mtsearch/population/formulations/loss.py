"""Auxiliary tasks with other losses."""

from __future__ import annotations

from dataclasses import replace

import torch

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.population.formulations.base import Formulation, formulation
from mtsearch.population.task import Task


@formulation(schema.LossFormulation)
class OtherLoss(Formulation):
    """The target's images and labels, trained and judged by another loss of its kind: the t-th of `losses` for auxiliary task t (from 1),
    the list starting again at its end, or a random one. With MSE as the target's and L1 and SSIM as `losses`, every member trying all
    tasks' states, this is the study of auxiliary losses (`spec` 2.4)."""

    def derive(self, task: Task, noise: torch.Generator) -> Task:
        losses = self.settings.losses
        random = self.settings.assign == "random"
        place = int(torch.randint(len(losses), (), generator=noise)) if random else (task.key - 1) % len(losses)
        return replace(task, card=TaskCard.model_validate({**task.card.model_dump(), "loss": losses[place]}))
