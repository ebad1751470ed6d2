"""Restoration: an image of an image, such as it was before noise or in a higher resolution. Its
values lie in [0, 1]."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.tasks.registry import loss, meter, task_loss
from mtsearch.tasks.regression import l1, mse
from mtsearch.tasks.ssim import ssim

CEILING = 100.0  # dB: what an image without any error gets

loss("restoration", "mse")(mse)
loss("restoration", "l1")(l1)


@loss("restoration", "ssim")
def ssim_loss(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """1 - the mean similarity of each image (B, C, H, W) to its target, in [0, 2]; counted by
    images with a labelled pixel.

    Pixels that are not labelled (NaN) count as equal in the windows of others and are left out of
    the mean.
    """
    values, labelled = _similarity(output.float(), target)
    return (1 - values)[labelled].sum(), labelled.sum()


@meter("restoration")
class RestorationMeter:
    """`loss`: mean loss. `error`: root of the mean squared error over the labelled entries,
    whatever the loss.

    `psnr` (in dB, at most 100) and `ssim`: means over images of the output cut to [0, 1], as
    published figures are made.
    """

    def __init__(self, task: TaskCard, device: torch.device) -> None:
        self.task = task
        self.totals = torch.zeros(
            7, dtype=torch.float64, device=device
        )  # loss, count, squared error, labelled, psnr, ssim, images

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch of images and targets (B, C, H, W)."""
        pairs = (task_loss(self.task, output, target), mse(self.task, output, target))
        shown = output.float().clamp(0, 1)
        similarity, labelled = _similarity(shown, target)
        difference = torch.nan_to_num(shown - target, nan=0.0).square().flatten(1).sum(1)
        count = (~torch.isnan(target)).flatten(1).sum(1)
        peak = -10 * torch.log10((difference / count.clamp(min=1)).clamp(min=10 ** (-CEILING / 10)))
        figures = (peak[labelled].sum(), similarity[labelled].sum(), labelled.sum())
        self.totals += torch.stack([part.double() for part in (*pairs[0], *pairs[1], *figures)])

    def compute(self) -> dict[str, float]:
        """The figures; NaN when nothing was labelled."""
        loss, count, error, labelled, psnr, similarity, images = self.totals.tolist()
        if not images:
            return dict.fromkeys(("loss", "error", "psnr", "ssim"), math.nan)
        return {
            "loss": loss / count,
            "error": math.sqrt(error / labelled),
            "psnr": psnr / images,
            "ssim": similarity / images,
        }


def _similarity(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Mean similarity over each image's labelled pixels, and whether it has any, (B,) each."""
    known = ~torch.isnan(target)
    values = ssim(output, torch.where(known, target, output)) * known
    count = known.flatten(1).sum(1)
    return values.flatten(1).sum(1) / count.clamp(min=1), count > 0
