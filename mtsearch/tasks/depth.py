"""Depth: the distance of each pixel, in the unit of the labels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.tasks.geometry import geometry
from mtsearch.tasks.registry import loss, meter, task_loss

if TYPE_CHECKING:
    from mtsearch.data.transforms import Move

RATIO = 1.25


def measured(target: Tensor) -> Tensor:
    """Which depths are labels: finite and positive, as sensors write 0 where they measure
    nothing."""
    return (target > 0) & torch.isfinite(target)


@loss("depth", "l1")
def depth_l1(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Absolute error of depths (B, 1, H, W), over the pixels with a label."""
    difference, known = _difference(output, target)
    return difference.abs().sum(), known.sum()


@loss("depth", "mse")
def depth_mse(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Squared error of depths (B, 1, H, W), over the pixels with a label."""
    difference, known = _difference(output, target)
    return difference.square().sum(), known.sum()


def _difference(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Output minus target, 0 without a label, and which pixels have one."""
    known = measured(target)
    return torch.where(known, output.float() - target, torch.zeros_like(target)), known


@geometry("depth")
def nearer(task: TaskCard, labels: Tensor, move: Move) -> Tensor:
    """Depths (B, 1, H, W) of an enlarged part: an object that appears 1 / side times as large is
    at `side` times the distance."""
    if move.crop is None:
        return labels
    return labels * move.crop[:, 0].to(labels.dtype)[:, None, None, None]


@meter("depth")
class DepthMeter:
    """Metrics over all pixels with a label (Eigen et al. 2014).

    `error`: mean absolute error, in the unit of the labels. `rel_error`: mean of the absolute error
    divided by the label, in percent. `rmse`: root of the mean squared error. `delta1`: the share of
    pixels with max(output / label, label / output) < 1.25, in percent.
    """

    def __init__(self, task: TaskCard, device: torch.device) -> None:
        self.task = task
        # Loss and its count; pixels; sums of absolute, relative and squared errors; pixels within
        # the ratio.
        self.totals = torch.zeros(7, dtype=torch.float64, device=device)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch of depths and labels (B, 1, H, W)."""
        known = measured(target)
        found, true = output.float()[known].double(), target[known].double()
        away = (found - true).abs()
        # an output of 0 or less is within no ratio
        near = (found < RATIO * true) & (true < RATIO * found)
        parts = (
            *task_loss(self.task, output, target),
            *(known.sum(), away.sum(), (away / true).sum(), away.square().sum(), near.sum()),
        )
        self.totals += torch.stack([part.double() for part in parts])

    def compute(self) -> dict[str, float]:
        """The metrics; NaN if nothing was labelled."""
        loss, count, pixels, away, relative, squares, near = self.totals.tolist()
        if not pixels:
            return dict.fromkeys(("loss", "error", "rel_error", "rmse", "delta1"), math.nan)
        return {
            "loss": loss / count,
            "error": away / pixels,
            "rel_error": 100 * relative / pixels,
            "rmse": math.sqrt(squares / pixels),
            "delta1": 100 * near / pixels,
        }
