"""Figures of a confusion matrix, which is accumulated over a whole split: never averages over
images or batches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def confusion(target: Tensor, prediction: Tensor, classes: int) -> Tensor:
    """Counts (classes, classes), rows being the truth, of labels and predictions of one shape,
    whole numbers in 0..classes-1."""
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
    """With rows r_c and columns k_c of h: OA = tr h / sum h, IoU_c = h_cc / (r_c + k_c - h_cc),
    kappa = (OA - p) / (1 - p) with p = sum_c r_c k_c / (sum h)^2.

    Where chance alone agrees always (p = 1: one class, never missed), kappa is 1.

    Args:
        h: counts (C, C), rows being the truth; not all zero.
        counted: (C,) bool: the classes of the mean IoU, by default all. Those that neither occur
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
    rows r, the truth, and columns k. Classes that neither occur nor are predicted are left out."""
    h = h.double()
    both = h.sum(1) + h.sum(0)
    return (2 * h.diagonal() / both)[both > 0].mean().item()
