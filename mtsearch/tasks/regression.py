"""Regression: numbers per image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.tasks.registry import loss, meter, task_loss


@loss("regression", "mse")
def mse(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Squared error of an output and a target of the same shape, where NaN means "not labelled"."""
    difference, count = _difference(output, target)
    return difference.square().sum(), count


@loss("regression", "l1")
def l1(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Absolute error of an output and a target of the same shape, where NaN means "not
    labelled"."""
    difference, count = _difference(output, target)
    return difference.abs().sum(), count


def _difference(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Output minus target, 0 for entries that are not labelled, and the number of labels."""
    labelled = ~torch.isnan(target)
    return torch.where(labelled, output.float() - target, torch.zeros_like(target)), labelled.sum()


@meter("regression")
class RegressionMeter:
    """`loss`: mean loss. `error`: root of the mean squared error over the labelled entries,
    independent of the loss."""

    def __init__(self, task: TaskCard, device: torch.device) -> None:
        self.task = task
        # Sum of losses, number of losses, sum of squared errors, number of labels.
        self.totals = torch.zeros(4, dtype=torch.float64, device=device)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch of predictions and targets of one shape."""
        pairs = (task_loss(self.task, output, target), mse(self.task, output, target))
        self.totals += torch.stack([part.double() for pair in pairs for part in pair])

    def compute(self) -> dict[str, float]:
        """The metrics; NaN if nothing was labelled."""
        loss, count, error, labelled = self.totals.tolist()
        return (
            {"loss": loss / count, "error": math.sqrt(error / labelled)}
            if count
            else {"loss": math.nan, "error": math.nan}
        )
