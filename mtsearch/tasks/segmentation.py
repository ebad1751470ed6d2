"""Segmentation: one class a pixel."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.tasks.classification import cross_entropy
from mtsearch.tasks.registry import loss, meter, task_loss

loss("segmentation", "cross_entropy")(cross_entropy)


@meter("segmentation")
class SegmentationMeter:
    """From the confusion matrix of all labelled pixels, in percent.

    `error` = 100 - mIoU over the classes that occur, `pixel_error` = 100 - overall accuracy.
    """

    def __init__(self, task: TaskCard, device: torch.device) -> None:
        self.task = task
        self.classes = task.outputs
        self.totals = torch.zeros(
            self.classes**2 + 2, dtype=torch.float64, device=device
        )  # confusion[target, prediction], loss sum, labelled

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch of logits (B, classes, H, W) and labels (B, H, W)."""
        loss, count = task_loss(self.task, output, target)
        labelled = target != self.task.ignore
        cells = target[labelled] * self.classes + output.argmax(1)[labelled]
        self.totals[:-2] += torch.bincount(cells, minlength=self.classes**2)
        self.totals[-2:] += torch.stack([loss.double(), count.double()])

    def compute(self) -> dict[str, float]:
        """The figures; NaN when nothing was labelled."""
        loss, count = self.totals[-2:].tolist()
        if not count:
            return {"loss": math.nan, "error": math.nan, "pixel_error": math.nan}
        confusion = self.totals[:-2].view(self.classes, self.classes)
        right = confusion.diagonal()
        union = confusion.sum(0) + confusion.sum(1) - right
        occurring = union > 0
        miou = (right[occurring] / union[occurring]).mean().item()
        return {"loss": loss / count, "error": 100 * (1 - miou), "pixel_error": 100 * (1 - right.sum().item() / count)}
