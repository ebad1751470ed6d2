"""Metrics of a task over a whole split, accumulated on the device: figures are per sample, never averages of batches."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.tasks.losses import task_loss


class Meter(Protocol):
    """Accumulates over batches; `totals` is what ranks add up before `compute`."""

    totals: Tensor

    def update(self, output: Tensor, target: Tensor) -> None: ...

    def compute(self) -> dict[str, float]: ...


class ClassificationMeter:
    """`loss`: mean cross-entropy. `error`: wrong predictions in percent of the labelled samples."""

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


class RegressionMeter:
    """`loss`: mean squared error over the labelled entries. `error`: its root."""

    def __init__(self, task: TaskCard, device: torch.device) -> None:
        self.task = task
        self.totals = torch.zeros(2, dtype=torch.float64, device=device)  # squared error sum, labelled

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch of predictions and targets of one shape."""
        loss, count = task_loss(self.task, output, target)
        self.totals += torch.stack([loss.double(), count.double()])

    def compute(self) -> dict[str, float]:
        """The figures; NaN when nothing was labelled."""
        loss, count = self.totals.tolist()
        return {"loss": loss / count, "error": math.sqrt(loss / count)} if count else {"loss": math.nan, "error": math.nan}


_METERS: dict[str, type] = {"classification": ClassificationMeter, "segmentation": SegmentationMeter, "regression": RegressionMeter}


def meter_for(task: TaskCard, device: torch.device) -> Meter:
    """A fresh meter for the task's kind."""
    return _METERS[task.kind](task, device)
