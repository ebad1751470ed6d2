"""Structural similarity of images (Wang, Bovik, Sheikh & Simoncelli 2004, IEEE TIP 13(4))."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mtsearch.config.errors import BadInput

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Structural similarity of each window that lies within the images.

    Means, variances and the covariance are weighted with an 11x11 Gaussian window of standard
    deviation 1.5 whose weights sum to 1. As published, only windows within the images count; there
    is no padding.

    torchmetrics' function of the same definition returns means only and has no missing pixels; it
    is the reference in the tests.

    Args:
        first: images (B, C, H, W) with values in a range of width 1; H and W are at least 11.
        second: images of the same shape.

    Returns:
        Similarities (B, C, H - 10, W - 10) in [-1, 1]; those of equal images are 1.

    Raises:
        BadInput: the images are smaller than the window.
    """
    channels, height, width = first.shape[1:]
    if min(height, width) < WINDOW:
        raise BadInput(
            f"The structural similarity should have images of {WINDOW}x{WINDOW} pixels or more."
            f" Found {height}x{width}; train a loss other than `ssim`, or give larger images."
        )
    both = torch.cat([first, second, first * first, second * second, first * second], 1)
    # The window is separable: two passes of 11 taps replace one of 121.
    taps = _gaussian(both)
    down = taps.view(1, 1, -1, 1).expand(5 * channels, -1, -1, -1)
    across = taps.view(1, 1, 1, -1).expand(5 * channels, -1, -1, -1)
    rows = F.conv2d(both, down, groups=5 * channels)
    means = F.conv2d(rows, across, groups=5 * channels)
    mean_1, mean_2, square_1, square_2, product = means.split(channels, 1)
    variances = square_1 - mean_1 * mean_1 + square_2 - mean_2 * mean_2
    covariance = product - mean_1 * mean_2
    similarity = (2 * mean_1 * mean_2 + C1) * (2 * covariance + C2)
    return similarity / ((mean_1 * mean_1 + mean_2 * mean_2 + C1) * (variances + C2))


def _gaussian(like: Tensor) -> Tensor:
    offsets = torch.arange(WINDOW, dtype=like.dtype, device=like.device) - WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    return weights / weights.sum()
