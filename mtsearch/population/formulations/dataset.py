"""Auxiliary tasks from other data sets."""

from __future__ import annotations

from dataclasses import replace

import torch

from mtsearch.config import schema
from mtsearch.config.errors import BadInput, nearest
from mtsearch.data import open_dataset
from mtsearch.population.formulations.base import Formulation, formulation
from mtsearch.population.splits import parts_of
from mtsearch.population.task import Task


@formulation(schema.DatasetFormulation)
class OtherDataset(Formulation):
    """Auxiliary task t (from 1) is the t-th of `datasets`, the list starting again at its end, with a head of its own where its labels
    differ. Images must have the target's shape; they are normalised by their own set's statistics."""

    def derive(self, task: Task, noise: torch.Generator) -> Task:
        names = self.settings.datasets
        number = (task.key - 1) % len(names)
        place = f"trial.population.formulation.datasets[{number}]"
        name, _, label = names[number].partition("/")
        found = open_dataset(self.data.model_copy(update={"dataset": name, "store": None}))
        cards = {card.name: card for card in found.card.tasks}
        if not label and len(cards) == 1:
            label = next(iter(cards))
        if label not in cards:
            raise BadInput(f"`{place}` should name a task of {name} as `{name}/TASK`. Found `{names[number]}`. {nearest(label, cards)}")
        if found.card.shape != task.dataset.card.shape:
            raise BadInput(
                f"`{place}` should hold images of the target's shape {task.dataset.card.shape}. Found {found.card.shape}. "
                "Choose another set."
            )
        split = found.splits["train"]
        parts = parts_of(len(split), self.config.population, self.config.seed, task.key)
        card = cards[label].model_copy(update={"name": task.card.name})
        return replace(
            task, card=card, dataset=found, split=split, label=label, train=parts.train, hold_out=parts.hold_out, select=parts.select,
            sources=torch.empty(0, dtype=torch.long),
        )  # fmt: skip
