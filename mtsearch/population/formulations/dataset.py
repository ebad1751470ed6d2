"""Auxiliary tasks on other datasets."""

from __future__ import annotations

from dataclasses import replace

import torch

from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.schema import DataConfig
from mtsearch.data import open_dataset, resolve
from mtsearch.population.formulations.base import Formulation
from mtsearch.population.splits import split_indices
from mtsearch.population.task import Task


class OtherDataset(Formulation):
    """Auxiliary task t (from 1) is the t-th of `datasets`, which is repeated if it is shorter. It
    has its own head if its labels differ. Images must have the shape of the target's images; they
    are normalised with the statistics of their own dataset.
    """

    def check(self, target: TaskCard, card: DatasetCard) -> None:
        for number in range(len(self.settings.datasets)):
            place = f"`trial.population.formulation.datasets[{number}]`"
            try:
                found = resolve(self._data(number)).card
            except BadInput as error:
                raise BadInput(f"{place} cannot be used: {error}") from None
            self._label(number, found)
            if found.shape != card.shape:
                raise BadInput(
                    f"{place} should contain images of the target's shape {card.shape}. Found"
                    f" {found.shape}. Choose another dataset."
                )

    def derive(self, task: Task, noise: torch.Generator) -> Task:
        number = (task.key - 1) % len(self.settings.datasets)
        found = open_dataset(self._data(number))
        label = self._label(number, found.card)
        split = found.splits["train"]
        parts = split_indices(len(split), self.config.mto, self.config.seed, task.key)
        cards = {card.name: card for card in found.card.tasks}
        card = cards[label].model_copy(update={"name": task.card.name})
        return replace(
            task,
            card=card,
            dataset=found,
            split=split,
            label=label,
            train=parts.train,
            hold_out=parts.hold_out,
            select=parts.select,
            sources=torch.empty(0, dtype=torch.long),
        )

    def _data(self, number: int) -> DataConfig:
        name = self.settings.datasets[number].partition("/")[0]
        return self.data.model_copy(update={"dataset": name, "store": None})

    def _label(self, number: int, card: DatasetCard) -> str:
        """Return the task that entry `number` of the list names. Raises BadInput if it names
        none."""
        name, _, label = self.settings.datasets[number].partition("/")
        names = [task.name for task in card.tasks]
        if not label and len(names) == 1:
            return names[0]
        if label not in names:
            raise BadInput(
                f"`trial.population.formulation.datasets[{number}]` should name a task of {name} as"
                f" `{name}/TASK`. Found `{self.settings.datasets[number]}`. {nearest(label, names)}"
            )
        return str(label)
