"""Auxiliary tasks with other losses."""

from __future__ import annotations

from dataclasses import replace

import torch

from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.population.formulations.base import Formulation
from mtsearch.population.task import Task
from mtsearch.tasks.registry import loss_of


class OtherLoss(Formulation):
    """The target's images and labels, with another loss of its kind for training and evaluation:
    for auxiliary task t (from 1) the t-th of `losses`, which is repeated if it is shorter, or a
    random one.

    With MSE as the loss of the target, L1 and SSIM as `losses`, and visitors from all tasks, this
    is the method of chapter 4 of Zhang's thesis on multi-task optimisation.
    """

    def check(self, target: TaskCard, card: DatasetCard) -> None:
        for place in range(len(self.settings.losses)):
            self._card(target, place)

    def derive(self, task: Task, noise: torch.Generator) -> Task:
        losses = self.settings.losses
        random = self.settings.assign == "random"
        place = (
            int(torch.randint(len(losses), (), generator=noise))
            if random
            else (task.key - 1) % len(losses)
        )
        return replace(task, card=self._card(task.card, place))

    def _card(self, target: TaskCard, place: int) -> TaskCard:
        card = target.model_copy(update={"loss": self.settings.losses[place]})
        try:
            loss_of(card)
        except BadInput as error:
            raise BadInput(
                f"`trial.population.formulation.losses[{place}]` cannot be used: {error}"
            ) from None
        return card
