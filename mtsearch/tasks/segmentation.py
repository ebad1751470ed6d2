"""Segmentation: one class per pixel."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.tasks.confusion import agreement, confusion
from mtsearch.tasks.registry import meter, task_loss


@meter("segmentation")
class SegmentationMeter:
    """Metrics of the confusion matrix of all labelled pixels.

    `error` = 100 - mIoU and `pixel_error` = 100 - overall accuracy, both in percent, and `kappa`.
    The mIoU is the mean over the classes that occur in the labels or the predictions of the split;
    a class that occurs in neither is left out, one that is only predicted counts as 0.

    If the task's card names an `undefined` class, its pixels are excluded from these metrics.
    `error_all`, `pixel_error_all` and `kappa_all` include them as a class, which a network that is
    not trained on it never predicts. If the label of undefined pixels is the card's `ignore`, an
    image without any defined pixel counts as not labelled.
    """

    def __init__(self, task: TaskCard, device: torch.device) -> None:
        self.task = task
        # A class without an output of the network.
        unseen = task.undefined is not None and task.undefined == task.ignore
        self.classes = task.outputs + unseen
        self.undefined = task.outputs if unseen else task.undefined
        # Confusion matrix, sum of losses, number of losses.
        self.totals = torch.zeros(self.classes**2 + 2, dtype=torch.float64, device=device)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch of logits (B, classes, H, W) and labels (B, H, W)."""
        loss, count = task_loss(self.task, output, target)
        labelled = target != self.task.ignore
        if self.undefined == self.task.outputs:
            target = torch.where(labelled, target, self.undefined)
            labelled = labelled.flatten(1).any(1)[:, None, None].expand_as(target)
        self.totals[:-2] += confusion(
            target[labelled], output.argmax(1)[labelled], self.classes
        ).flatten()
        self.totals[-2:] += torch.stack([loss.double(), count.double()])

    def compute(self) -> dict[str, float]:
        """The metrics; NaN if nothing was labelled."""
        loss, count = self.totals[-2:].tolist()
        whole = self.totals[:-2].view(self.classes, self.classes)
        defined, classes = whole, None
        if self.undefined is not None:
            classes = torch.arange(self.classes, device=whole.device) != self.undefined
            defined = whole * classes[:, None]
        figures = {"loss": loss / count if count else math.nan, **_figures(defined, classes)}
        return (
            figures
            if self.undefined is None
            else figures | {f"{name}_all": v for name, v in _figures(whole, None).items()}
        )

    def table(self) -> Tensor:
        """The confusion matrix (classes, classes) of the pixels; without undefined pixels where the
        card names such a class."""
        whole = self.totals[:-2].view(self.classes, self.classes)
        if self.undefined is None:
            return whole
        return whole * (torch.arange(self.classes, device=whole.device) != self.undefined)[:, None]


def _figures(h: Tensor, classes: Tensor | None) -> dict[str, float]:
    if not h.any():
        return dict.fromkeys(("error", "pixel_error", "kappa"), math.nan)
    found = agreement(h, classes)
    return {
        "error": 100 * (1 - found.miou),
        "pixel_error": 100 * (1 - found.accuracy),
        "kappa": found.kappa,
    }
