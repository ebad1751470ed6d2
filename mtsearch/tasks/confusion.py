"""Metrics of a confusion matrix that is accumulated over a whole split, not averaged over images or
batches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def confusion(target: Tensor, prediction: Tensor, classes: int) -> Tensor:
    """Confusion matrix (classes, classes) of integer labels and predictions in 0..classes-1 of one
    shape; rows are the true classes."""
    return torch.bincount((target * classes + prediction).flatten(), minlength=classes**2).view(
        classes, classes
    )


@dataclass(frozen=True)
class Agreement:
    """Overall accuracy and mean intersection over union in [0, 1], Cohen's kappa in [-1, 1]."""

    accuracy: float
    miou: float
    kappa: float


def agreement(h: Tensor, counted: Tensor | None = None) -> Agreement:
    """With row sums r_c and column sums k_c of h: OA = tr h / sum h,
    IoU_c = h_cc / (r_c + k_c - h_cc), kappa = (OA - p) / (1 - p) with
    p = sum_c r_c k_c / (sum h)^2.

    If chance agreement is perfect (p = 1: one class, always predicted), kappa is 1.

    Args:
        h: counts (C, C); rows are the true classes; not all zero.
        counted: (C,) bool: the classes of the mean IoU, by default all. Classes that neither occur
            nor are predicted are left out.
    """
    h = h.double()
    right, rows, columns, total = h.diagonal(), h.sum(1), h.sum(0), h.sum()
    union = rows + columns - right
    occurring = union > 0 if counted is None else (union > 0) & counted
    accuracy, chance = (right.sum() / total).item(), ((rows * columns).sum() / total**2).item()
    kappa = (accuracy - chance) / (1 - chance) if chance < 1 else 1.0
    return Agreement(accuracy, (right[occurring] / union[occurring]).mean().item(), kappa)


def mean_f1(h: Tensor) -> float:
    """The mean over classes of F1_c = 2 h_cc / (r_c + k_c), in [0, 1], for counts h (C, C) with
    row sums r (true classes) and column sums k. Classes that neither occur nor are predicted are
    left out."""
    h = h.double()
    both = h.sum(1) + h.sum(0)
    return (2 * h.diagonal() / both)[both > 0].mean().item()
