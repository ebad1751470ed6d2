"""Classification: one class per image."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.tasks.confusion import agreement, confusion, mean_f1
from mtsearch.tasks.registry import loss, meter, task_loss


@loss("segmentation", "cross_entropy")
@loss("classification", "cross_entropy")
def cross_entropy(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of logits (B, classes[, H, W]) and labels (B[, H, W]), where `task.ignore`
    means "not labelled", with the task's `class_weights` and `label_smoothing`. The mean is over
    the labels, not over their weights."""
    return (
        F.cross_entropy(
            output.float(),
            target,
            weight=class_weights(task, output),
            ignore_index=task.ignore,
            reduction="sum",
            label_smoothing=task.label_smoothing,
        ),
        (target != task.ignore).sum(),
    )


def class_weights(task: TaskCard, output: Tensor) -> Tensor | None:
    """The weights (classes,) of a task on the output's device, or None."""
    if not task.class_weights:
        return None
    return torch.tensor(task.class_weights, dtype=torch.float32, device=output.device)


@loss("segmentation", "focal")
@loss("classification", "focal")
def focal(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """-w_y (1 - p_y)^gamma log p_y for probabilities p, label y, the task's `focal_gamma` and
    `class_weights` w (Lin et al. 2017, Focal loss for dense object detection, eq. 4 and 5)."""

    def each(logits: Tensor, labels: Tensor) -> Tensor:
        log_p = logits.log_softmax(1).gather(1, labels[:, None])[:, 0]
        values = -((-torch.expm1(log_p)).clamp_min(1e-12) ** task.focal_gamma) * log_p
        weights = class_weights(task, output)
        return values if weights is None else values * weights[labels]

    return _on_labelled(task, output, target, each)


def _on_labelled(
    task: TaskCard, output: Tensor, target: Tensor, each: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Sum of a loss of logits (n, classes) and labels (n,), one value per label, over the labelled
    entries of (B[, H, W]), and their number."""
    labelled = target != task.ignore
    return each(output.float().movedim(1, -1)[labelled], target[labelled]).sum(), labelled.sum()


def _one_hot_loss(name: str, power: int, softmax: bool) -> None:
    """Register the mean over classes of |p - t|^power for logits or probabilities p and one-hot
    labels t."""

    def each(logits: Tensor, labels: Tensor) -> Tensor:
        values = logits.softmax(1) if softmax else logits
        return (values - F.one_hot(labels, logits.shape[1])).abs().pow(power).mean(1)

    def one_hot_loss(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return _on_labelled(task, output, target, each)

    for kind in ("classification", "segmentation"):
        loss(kind, name)(one_hot_loss)


_one_hot_loss("l1", 1, softmax=False)
_one_hot_loss("l2", 2, softmax=False)
_one_hot_loss("l1_softmax", 1, softmax=True)
_one_hot_loss("l2_softmax", 2, softmax=True)


@loss("segmentation", "margin")
@loss("classification", "margin")
def margin(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Multi-class hinge: the mean over classes j of max(0, 1 - x_y + x_j), j != y, for logits x and
    label y."""
    return _on_labelled(
        task,
        output,
        target,
        lambda logits, labels: F.multi_margin_loss(logits, labels, reduction="none"),
    )


@meter("classification")
class ClassificationMeter:
    """Metrics of a classification.

    `loss`: mean loss. `error`: wrong predictions in percent of the labelled samples. `kappa`
    (Cohen's), `f1` (mean over classes) and `balanced_accuracy` (percent, the mean of the accuracies
    of the classes that occur) are computed from the confusion matrix. `by_class` gives the accuracy
    of each class.
    """

    def __init__(self, task: TaskCard, device: torch.device) -> None:
        self.task = task
        # Confusion matrix, sum of losses, number of losses.
        self.totals = torch.zeros(task.outputs**2 + 2, dtype=torch.float64, device=device)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch of logits (B, classes) and labels (B,)."""
        loss, count = task_loss(self.task, output, target)
        labelled = target != self.task.ignore
        self.totals[:-2] += confusion(
            target[labelled], output.argmax(1)[labelled], self.task.outputs
        ).flatten()
        self.totals[-2:] += torch.stack([loss.double(), count.double()])

    def compute(self) -> dict[str, float]:
        """The metrics; NaN if nothing was labelled."""
        loss, count = self.totals[-2:].tolist()
        if not count:
            return dict.fromkeys(("loss", "error", "kappa", "f1", "balanced_accuracy"), math.nan)
        h = self._confusion
        wrong, rows = (h.sum() - h.trace()).item(), h.sum(1)
        return {
            "loss": loss / count,
            "error": 100 * wrong / count,
            "kappa": agreement(h).kappa,
            "f1": mean_f1(h),
            "balanced_accuracy": 100 * (h.diagonal() / rows)[rows > 0].mean().item(),
        }

    def by_class(self) -> dict[str, float]:
        """`accuracy/<class>`: correct predictions in percent of the labelled samples of the class,
        for every class that occurs."""
        names = self.task.classes or tuple(str(c) for c in range(self.task.outputs))
        right, labelled = self._confusion.diagonal().tolist(), self._confusion.sum(1).tolist()
        return {
            f"accuracy/{name}": 100 * r / n
            for name, r, n in zip(names, right, labelled, strict=True)
            if n
        }

    def table(self) -> Tensor:
        """The confusion matrix (classes, classes)."""
        return self._confusion

    @property
    def _confusion(self) -> Tensor:
        return self.totals[:-2].view(self.task.outputs, self.task.outputs)
