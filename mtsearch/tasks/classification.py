"""Classification: one class an image."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.tasks.registry import loss, meter, task_loss


@loss("classification", "cross_entropy")
def cross_entropy(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of logits (B, classes[, H, W]) against labels (B[, H, W]), `task.ignore` being "not labelled"."""
    return F.cross_entropy(output.float(), target, ignore_index=task.ignore, reduction="sum"), (target != task.ignore).sum()


@meter("classification")
class ClassificationMeter:
    """`loss`: mean loss. `error`: wrong predictions in percent of the labelled samples."""

    def __init__(self, task: TaskCard, device: torch.device) -> None:
        self.task = task
        self.totals = torch.zeros(3, dtype=torch.float64, device=device)  # loss sum, wrong, labelled

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch of logits (B, classes) and labels (B,)."""
        loss, count = task_loss(self.task, output, target)
        wrong = ((output.argmax(1) != target) & (target != self.task.ignore)).sum()
        self.totals += torch.stack([loss.double(), wrong.double(), count.double()])

    def compute(self) -> dict[str, float]:
        """The figures; NaN when nothing was labelled."""
        loss, wrong, count = self.totals.tolist()
        return {"loss": loss / count, "error": 100 * wrong / count} if count else {"loss": math.nan, "error": math.nan}
