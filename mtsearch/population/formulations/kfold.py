"""Auxiliary tasks on folds of the training images."""

from __future__ import annotations

from dataclasses import replace

import torch

from mtsearch.config.errors import BadInput
from mtsearch.population.formulations.base import Formulation
from mtsearch.population.seeding import generator_of
from mtsearch.population.splits import COMMON
from mtsearch.population.task import Task


class KFold(Formulation):
    """The images are permuted once for all tasks and divided into `folds` equal folds, the last of
    which also gets the remainder.

    Auxiliary task t (from 1) trains on all folds except fold (t - 1) mod `folds` (``train: rest``),
    or on that fold only (``train: fold``, as in the study of Zhang et al. 2020). Images of its
    hold-out are excluded in both cases.
    """

    def derive(self, task: Task, noise: torch.Generator) -> Task:
        folds, count = self.settings.folds, len(task.split)
        if folds > count:
            raise BadInput(
                f"`trial.population.formulation.folds` should be at most the number of training"
                f" images, {count}. Found {folds}."
            )
        size, number = count // folds, (task.key - 1) % folds
        order = torch.randperm(
            count, generator=generator_of(self.config.seed, "formulation", COMMON)
        )
        fold = order[number * size : count if number == folds - 1 else (number + 1) * size]
        inside = torch.zeros(count, dtype=torch.bool)
        inside[fold] = True
        chosen = inside[task.train] if self.settings.train == "fold" else ~inside[task.train]
        if not bool(chosen.any()):
            raise BadInput(
                "`trial.population.formulation.folds` should leave every task some of its"
                f" {len(task.train)} training images. Found {folds}. Lower it."
            )
        return replace(task, train=task.train[chosen])
