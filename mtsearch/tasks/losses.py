"""The loss of a task on a batch, as a sum over labels and their count, so that batches and ranks may hold different numbers of labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mtsearch.config.cards import TaskCard


def task_loss(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the losses over all labelled entries, and their number, both scalars on the output's device.

    Classification and segmentation: cross-entropy of logits (B, classes[, H, W]) against labels (B[, H, W]),
    `task.ignore` being "not labelled".
    Regression: squared error against a target of the output's shape, NaN being "not labelled".
    """
    if task.kind == "regression":
        labelled = ~torch.isnan(target)
        difference = torch.where(labelled, output.float() - target, torch.zeros_like(target))
        return difference.square().sum(), labelled.sum()
    return F.cross_entropy(output.float(), target, ignore_index=task.ignore, reduction="sum"), (target != task.ignore).sum()
