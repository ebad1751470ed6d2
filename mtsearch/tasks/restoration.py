"""Restoration: an image from a degraded image, such as a noisy one or one of lower resolution.
Values are in [0, 1]."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.tasks.registry import loss, meter, task_loss
from mtsearch.tasks.regression import l1, mse
from mtsearch.tasks.ssim import WINDOW, ssim

MAX_PSNR = 100.0  # dB: PSNR of an image without error

loss("restoration", "mse")(mse)
loss("restoration", "l1")(l1)


@loss("restoration", "ssim")
def ssim_loss(task: TaskCard, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """1 - the mean structural similarity of each image (B, C, H, W) to its target, in [0, 2].

    The mean is over the windows whose central pixel is labelled; the count is of images that have
    one. Pixels that are not labelled (NaN) count as equal within the windows of others.
    """
    values, labelled = _similarity(output.float(), target)
    return (1 - values)[labelled].sum(), labelled.sum()


def check_size(task: TaskCard, shape: tuple[int, ...]) -> None:
    """Raise BadInput if the images of a restoration are too small for its metric `ssim`."""
    if task.kind == "restoration" and min(shape[1:]) < WINDOW:
        raise BadInput(
            f"The images of the restoration `{task.name}` should measure {WINDOW}x{WINDOW} pixels"
            f" or more, for its metric `ssim`. Found {shape[1]}x{shape[2]}; raise `data.size` or"
            " `shape` in the data card."
        )


@meter("restoration")
class RestorationMeter:
    """`loss`: mean loss. `error`: root of the mean squared error over the labelled entries,
    independent of the loss.

    `psnr` (in dB, at most 100) and `ssim`: means over images of the output clipped to [0, 1].
    `ssim` is NaN for images smaller than its window of 11x11 pixels.
    """

    def __init__(self, task: TaskCard, device: torch.device) -> None:
        self.task = task
        # Loss and its count; squared error and labelled entries; PSNR and its images; SSIM and its
        # images.
        self.totals = torch.zeros(8, dtype=torch.float64, device=device)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch of images and targets (B, C, H, W)."""
        pairs = (task_loss(self.task, output, target), mse(self.task, output, target))
        shown = output.float().clamp(0, 1)
        similarity, compared = output.new_zeros(len(output)), target.new_zeros(len(output)).bool()
        if min(output.shape[-2:]) >= WINDOW:
            similarity, compared = _similarity(shown, target)
        difference = torch.nan_to_num(shown - target, nan=0.0).square().flatten(1).sum(1)
        count = (~torch.isnan(target)).flatten(1).sum(1)
        peak = -10 * torch.log10(
            (difference / count.clamp(min=1)).clamp(min=10 ** (-MAX_PSNR / 10))
        )
        labelled = count > 0
        figures = (
            *(peak[labelled].sum(), labelled.sum()),
            *(similarity[compared].sum(), compared.sum()),
        )
        self.totals += torch.stack([part.double() for part in (*pairs[0], *pairs[1], *figures)])

    def compute(self) -> dict[str, float]:
        """The metrics; NaN if nothing was labelled."""
        loss, count, error, labelled, psnr, images, similarity, compared = self.totals.tolist()
        if not images:
            return dict.fromkeys(("loss", "error", "psnr", "ssim"), math.nan)
        return {
            "loss": loss / count if count else math.nan,
            "error": math.sqrt(error / labelled),
            "psnr": psnr / images,
            "ssim": similarity / compared if compared else math.nan,
        }


def _similarity(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Mean SSIM over each image's windows with a labelled centre, and whether there is one, (B,)
    each."""
    known = ~torch.isnan(target)
    values = ssim(output, torch.where(known, target, output))
    edge = WINDOW // 2
    known = known[..., edge:-edge, edge:-edge]
    values = values * known
    count = known.flatten(1).sum(1)
    return values.flatten(1).sum(1) / count.clamp(min=1), count > 0
