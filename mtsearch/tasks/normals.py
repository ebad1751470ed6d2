"""Surface normals: a direction (x, y, z) for each pixel, x to the right of the image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.tasks.geometry import geometry
from mtsearch.tasks.registry import loss, meter, task_loss

if TYPE_CHECKING:
    from mtsearch.data.transforms import Move

WITHIN = {"within_11": 11.25, "within_22": 22.5, "within_30": 30.0}  # degrees
_BINS = 18_000  # of the histogram of angles that the median is read from, 0.01 degrees each


def directed(target: Tensor) -> Tensor:
    """Which pixels (B, H, W) have a label: finite vectors that are not zero."""
    return torch.isfinite(target).all(1) & (target != 0).any(1)


@loss("normals", "cosine")
def cosine(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """1 - the cosine of the angle between vectors (B, 3, H, W) of any length, over the pixels with
    a label."""
    known = directed(target)
    true = torch.where(known[:, None], target, torch.ones_like(target))
    found = F.normalize(output.float(), dim=1, eps=1e-8)
    values = 1 - (found * F.normalize(true, dim=1, eps=1e-8)).sum(1)
    return torch.where(known, values, torch.zeros_like(values)).sum(), known.sum()


@geometry("normals", without=("rotation", "quarter_turns"))
def mirrored(task: TaskCard, labels: Tensor, move: Move) -> Tensor:
    """Vectors (B, 3, H, W) with the opposite x where the image was flipped. Rotations are refused,
    because data sets differ in the direction of y."""
    sign = torch.where(move.flip, -1.0, 1.0).to(labels.dtype)
    x = labels[:, :1] * sign[:, None, None, None]
    return torch.cat([x, labels[:, 1:]], dim=1)


@meter("normals")
class NormalsMeter:
    """Metrics of the angles between outputs and labels over all pixels with a label, in degrees
    (Eigen & Fergus 2015).

    `error`: mean. `median`, from a histogram with bins of 0.01 degrees. `within_11`, `within_22`
    and `within_30`: shares of angles below 11.25, 22.5 and 30 degrees, in percent.
    """

    def __init__(self, task: TaskCard, device: torch.device) -> None:
        self.task = task
        # Loss and its count; sum of angles; angles below each bound; the histogram.
        self.totals = torch.zeros(3 + len(WITHIN) + _BINS, dtype=torch.float64, device=device)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch of vectors and labels (B, 3, H, W)."""
        known = directed(target)
        found, true = (v.float().movedim(1, -1)[known] for v in (output, target))
        # more precise for small angles than the arc cosine
        sine, cosine = torch.linalg.cross(found, true).norm(dim=-1), (found * true).sum(-1)
        # an output of zero length points nowhere
        angles = torch.where((sine == 0) & (cosine == 0), math.pi / 2, torch.atan2(sine, cosine))
        angles = torch.rad2deg(angles.double())
        parts = (
            *task_loss(self.task, output, target),
            angles.sum(),
            *((angles < bound).sum() for bound in WITHIN.values()),
        )
        bins = (angles * (_BINS / 180)).long().clamp_(0, _BINS - 1)
        counts = torch.bincount(bins, minlength=_BINS)
        self.totals += torch.cat([torch.stack([part.double() for part in parts]), counts.double()])

    def compute(self) -> dict[str, float]:
        """The metrics; NaN if nothing was labelled."""
        loss, count, angles, *within = self.totals[: 3 + len(WITHIN)].tolist()
        if not count:
            return dict.fromkeys(("loss", "error", "median", *WITHIN), math.nan)
        return {
            "loss": loss / count,
            "error": angles / count,
            "median": _median(self.totals[3 + len(WITHIN) :]),
            **{name: 100 * w / count for name, w in zip(WITHIN, within, strict=True)},
        }


def _median(counts: Tensor) -> float:
    """The median of the angles, linear within the bin that contains it."""
    upto = counts.cumsum(0)
    half = upto[-1] / 2
    place = int((upto < half).sum())
    before = upto[place] - counts[place]
    return float((place + (half - before) / counts[place]) * (180 / _BINS))
