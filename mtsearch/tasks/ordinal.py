"""Ordinal classification: one class per image, of classes in an order."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.tasks.confusion import confusion
from mtsearch.tasks.constant import constant
from mtsearch.tasks.registry import loss, meter, task_loss


@loss("ordinal", "cumulative")
def cumulative(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The sum over k of the binary cross-entropies of "the class is above k" for logits
    (B, classes - 1) and labels (B,), where `task.ignore` means "not labelled" (Niu et al. 2016,
    Ordinal regression with multiple output CNN for age estimation, eq. 3)."""
    labelled = target != task.ignore
    above = (target[:, None] > torch.arange(output.shape[1], device=target.device)).float()
    values = F.binary_cross_entropy_with_logits(output.float(), above, reduction="none").sum(1)
    return torch.where(labelled, values, torch.zeros_like(values)).sum(), labelled.sum()


def predicted(output: Tensor) -> Tensor:
    """The classes (B,) for logits (B, classes - 1): the number of thresholds that are passed."""
    return (output > 0).sum(1)


@constant("ordinal")
def most_frequent(task: TaskCard, labels: Tensor) -> Tensor:
    """Logits (1, classes - 1) of the most frequent class."""
    counts = torch.bincount(labels[labels != task.ignore], minlength=task.outputs)
    steps = torch.arange(task.outputs - 1, device=labels.device)
    return torch.where(steps < counts.argmax(), 1.0, -1.0)[None]


@meter("ordinal")
class OrdinalMeter:
    """`loss`: mean loss. `error`: wrong classes in percent of the labelled samples. `mae`: the mean
    distance between predicted and true class, in classes."""

    def __init__(self, task: TaskCard, device: torch.device) -> None:
        self.task = task
        # Sum and number of losses, wrong classes, sum of distances, confusion matrix.
        self.totals = torch.zeros(4 + task.outputs**2, dtype=torch.float64, device=device)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch of logits (B, classes - 1) and labels (B,)."""
        labelled = target != self.task.ignore
        found = predicted(output)
        far = (found - target).abs()[labelled]
        parts = (*task_loss(self.task, output, target), (far > 0).sum(), far.sum())
        self.totals[:4] += torch.stack([part.double() for part in parts])
        self.totals[4:] += confusion(target[labelled], found[labelled], self.task.outputs).flatten()

    def compute(self) -> dict[str, float]:
        """The metrics; NaN if nothing was labelled."""
        loss, count, wrong, far = self.totals[:4].tolist()
        if not count:
            return dict.fromkeys(("loss", "error", "mae"), math.nan)
        return {"loss": loss / count, "error": 100 * wrong / count, "mae": far / count}

    def table(self) -> Tensor:
        """The confusion matrix (classes, classes)."""
        return self.totals[4:].view(self.task.outputs, self.task.outputs)
