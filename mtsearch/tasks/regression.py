"""Regression: numbers of an image, or an image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.tasks.registry import loss, meter, task_loss


@loss("regression", "squared")
def squared(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Squared error against a target of the output's shape, NaN being "not labelled"."""
    labelled = ~torch.isnan(target)
    difference = torch.where(labelled, output.float() - target, torch.zeros_like(target))
    return difference.square().sum(), labelled.sum()


@meter("regression")
class RegressionMeter:
    """`loss`: mean loss. `error`: root of the mean squared error over the labelled entries, whatever the loss."""

    def __init__(self, task: TaskCard, device: torch.device) -> None:
        self.task = task
        self.totals = torch.zeros(4, dtype=torch.float64, device=device)  # loss sum, its count, squared error sum, labelled

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch of predictions and targets of one shape."""
        pairs = (task_loss(self.task, output, target), squared(self.task, output, target))
        self.totals += torch.stack([part.double() for pair in pairs for part in pair])

    def compute(self) -> dict[str, float]:
        """The figures; NaN when nothing was labelled."""
        loss, count, error, labelled = self.totals.tolist()
        return {"loss": loss / count, "error": math.sqrt(error / labelled)} if count else {"loss": math.nan, "error": math.nan}
