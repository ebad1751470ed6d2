"""Multi-label classification: any number of tags per image."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.tasks.constant import constant
from mtsearch.tasks.registry import loss, meter, task_loss


@loss("multilabel", "binary_cross_entropy")
def binary_cross_entropy(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy of logits (B, tags) and labels (B, tags) of 0 and 1, where NaN means
    "not labelled". The losses of tags that are set are multiplied by the task's `pos_weight`."""
    labelled = ~torch.isnan(target)
    weight = None
    if task.pos_weight is not None:
        weight = torch.tensor(task.pos_weight, dtype=torch.float32, device=output.device)
    values = F.binary_cross_entropy_with_logits(
        output.float(), target.nan_to_num(0.0), pos_weight=weight, reduction="none"
    )
    return torch.where(labelled, values, torch.zeros_like(values)).sum(), labelled.sum()


@constant("multilabel")
def most_frequent(task: TaskCard, labels: Tensor) -> Tensor:
    """Logits (1, tags) that set the tags which more than half of the labels (N, tags) set."""
    return torch.where(labels.double().nanmean(0, keepdim=True) > 0.5, 1.0, -1.0)


@meter("multilabel")
class MultilabelMeter:
    """Metrics of tags; a tag is predicted if its probability is above one half.

    `loss`: mean loss. `error`: wrong tags in percent of the labelled ones (Hamming loss). `f1`: the
    mean over the tags of 2 TP / (2 TP + FP + FN), without tags that neither occur nor are
    predicted. `by_class` gives the accuracy of each tag.
    """

    def __init__(self, task: TaskCard, device: torch.device) -> None:
        self.task = task
        # Of each tag true and false positives, false negatives and labels; sum and number of losses
        self.totals = torch.zeros(4 * task.outputs + 2, dtype=torch.float64, device=device)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch of logits (B, tags) and labels (B, tags)."""
        loss, count = task_loss(self.task, output, target)
        labelled, given, found = ~torch.isnan(target), target > 0.5, output > 0
        parts = (given & found, labelled & ~given & found, given & ~found, labelled)
        self.totals[:-2] += torch.cat([part.sum(0).double() for part in parts])
        self.totals[-2:] += torch.stack([loss.double(), count.double()])

    def compute(self) -> dict[str, float]:
        """The metrics; NaN if nothing was labelled."""
        loss, count = self.totals[-2:].tolist()
        if not count:
            return dict.fromkeys(("loss", "error", "f1"), math.nan)
        right, false, missed, _ = self._counts
        both = 2 * right + false + missed
        scores = (2 * right / both)[both > 0]
        return {
            "loss": loss / count,
            "error": 100 * (false + missed).sum().item() / count,
            "f1": scores.mean().item() if len(scores) else 1.0,  # nothing to find, nothing found
        }

    def by_class(self) -> dict[str, float]:
        """`accuracy/<tag>`: right predictions in percent of the labels of the tag."""
        names = self.task.classes or tuple(str(c) for c in range(self.task.outputs))
        _, false, missed, labelled = self._counts.tolist()
        return {
            f"accuracy/{name}": 100 * (1 - (f + m) / n)
            for name, f, m, n in zip(names, false, missed, labelled, strict=True)
            if n
        }

    def table(self) -> Tensor:
        """Counts (tags, 4): true positives, false positives, false negatives, labels."""
        return self._counts.T

    @property
    def _counts(self) -> Tensor:
        return self.totals[:-2].view(4, self.task.outputs)
