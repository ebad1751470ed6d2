"""Classification: one class an image."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.tasks.confusion import agreement, confusion
from mtsearch.tasks.registry import loss, meter, task_loss


@loss("classification", "cross_entropy")
def cross_entropy(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of logits (B, classes[, H, W]) against labels (B[, H, W]), `task.ignore` being "not labelled"."""
    return F.cross_entropy(output.float(), target, ignore_index=task.ignore, reduction="sum"), (target != task.ignore).sum()


@meter("classification")
class ClassificationMeter:
    """`loss`: mean loss. `error`: wrong predictions in percent of the labelled samples. `kappa`: Cohen's, of the confusion matrix."""

    def __init__(self, task: TaskCard, device: torch.device) -> None:
        self.task = task
        self.totals = torch.zeros(task.outputs**2 + 2, dtype=torch.float64, device=device)  # confusion, loss sum, its count

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch of logits (B, classes) and labels (B,)."""
        loss, count = task_loss(self.task, output, target)
        labelled = target != self.task.ignore
        self.totals[:-2] += confusion(target[labelled], output.argmax(1)[labelled], self.task.outputs).flatten()
        self.totals[-2:] += torch.stack([loss.double(), count.double()])

    def compute(self) -> dict[str, float]:
        """The figures; NaN when nothing was labelled."""
        loss, count = self.totals[-2:].tolist()
        if not count:
            return dict.fromkeys(("loss", "error", "kappa"), math.nan)
        h = self.totals[:-2].view(self.task.outputs, self.task.outputs)
        wrong = (h.sum() - h.trace()).item()
        return {"loss": loss / count, "error": 100 * wrong / count, "kappa": agreement(h).kappa}
