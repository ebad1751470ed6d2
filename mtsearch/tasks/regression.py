"""Regression: numbers per image.

Losses are of standardised targets, (y - m) / s with the mean m and the standard deviation s of the
task's card, so that tasks in different units have comparable losses. Outputs have the unit of the
labels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.tasks.registry import loss, meter, task_loss


@loss("regression", "mse")
def mse(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Squared standardised error of an output and a target of the same shape, where NaN means "not
    labelled"."""
    difference, count = _difference(output, target)
    return _scaled(task, difference).square().sum(), count


@loss("regression", "l1")
def l1(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Absolute standardised error of an output and a target of the same shape, where NaN means "not
    labelled"."""
    difference, count = _difference(output, target)
    return _scaled(task, difference).abs().sum(), count


def _scaled(task: TaskCard, difference: Tensor) -> Tensor:
    if not task.target_std:
        return difference
    std = torch.tensor(task.target_std, dtype=torch.float32, device=difference.device)
    return difference / std


def _difference(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Output minus target, 0 for entries that are not labelled, and the number of labels."""
    labelled = ~torch.isnan(target)
    return torch.where(labelled, output.float() - target, torch.zeros_like(target)), labelled.sum()


@meter("regression")
class RegressionMeter:
    """Metrics of the labelled entries, independent of the loss but for `loss`, the mean loss.

    `error`: root of the mean squared error. `mae`: mean absolute error. `r2`: the coefficient of
    determination 1 - sum (y - f)^2 / sum (y - mean y)^2, the mean over the labelled outputs; that
    of an output whose labels are all equal is 1 without errors, else 0, as in scikit-learn.
    """

    def __init__(self, task: TaskCard, device: torch.device) -> None:
        self.task = task
        # sums of squares of labels far from 0 would lose the digits in which these differ
        centre = task.target_mean or (0.0,) * task.outputs
        self._centre = torch.tensor(centre, dtype=torch.float64, device=device)
        # Sum of losses, number of losses, sum of absolute errors; then of each output the sum of
        # squared errors, the number of labels, and the sums of labels and of their squares, about
        # the mean of the training labels.
        self.totals = torch.zeros(3 + 4 * task.outputs, dtype=torch.float64, device=device)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch of predictions and targets of one shape, (B, outputs)."""
        absolute = _difference(output, target)[0].abs().sum()
        pairs = (*task_loss(self.task, output, target), absolute)
        labelled = ~torch.isnan(target)
        values = (target.double() - self._centre).nan_to_num(0.0)
        squares = torch.where(labelled, output.float() - target, 0.0).square()
        parts = (squares, labelled, values, values.square())
        self.totals[:3] += torch.stack([part.double() for part in pairs])
        self.totals[3:] += torch.cat([p.reshape(len(p), -1).sum(0).double() for p in parts])

    def compute(self) -> dict[str, float]:
        """The metrics; NaN if nothing was labelled."""
        loss, count, absolute = self.totals[:3].tolist()
        errors, counts, sums, squares = self.totals[3:].view(4, -1)
        labelled = counts.sum().item()
        if not labelled:
            return dict.fromkeys(("loss", "error", "mae", "r2"), math.nan)
        spread = squares - sums.square() / counts.clamp_min(1)
        # below 1e-9 of the squares, rounding errors may be most of a difference
        scores = torch.where(
            spread > 1e-9 * squares, 1 - errors / spread.clamp_min(1e-300), (errors == 0).double()
        )
        return {
            "loss": loss / count,
            "error": math.sqrt(errors.sum().item() / labelled),
            "mae": absolute / labelled,
            "r2": scores[counts > 0].mean().item(),
        }
