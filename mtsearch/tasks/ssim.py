"""Structural similarity of images (Wang, Bovik, Sheikh & Simoncelli 2004, IEEE TIP 13(4))."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """The map of similarities (B, C, H, W), in [-1, 1], of images (B, C, H, W) whose values range
    over 1.

    Means, variances and the covariance are those in an 11x11 Gaussian window (sigma 1.5, weights
    that sum to 1) around each pixel; beyond the border the images are zero. Equal images have 1
    everywhere.
    """
    channels = first.shape[1]
    both = torch.cat([first, second, first * first, second * second, first * second], 1)
    # The window is separable: two passes of 11 taps for one of 121.
    taps = _gaussian(both)
    rows = F.conv2d(
        both,
        taps.view(1, 1, -1, 1).expand(5 * channels, -1, -1, -1),
        padding=(WINDOW // 2, 0),
        groups=5 * channels,
    )
    means = F.conv2d(
        rows,
        taps.view(1, 1, 1, -1).expand(5 * channels, -1, -1, -1),
        padding=(0, WINDOW // 2),
        groups=5 * channels,
    )
    mean_1, mean_2, square_1, square_2, product = means.split(channels, 1)
    variances = square_1 - mean_1 * mean_1 + square_2 - mean_2 * mean_2
    covariance = product - mean_1 * mean_2
    similarity = (2 * mean_1 * mean_2 + C1) * (2 * covariance + C2)
    return similarity / ((mean_1 * mean_1 + mean_2 * mean_2 + C1) * (variances + C2))


def _gaussian(like: Tensor) -> Tensor:
    offsets = torch.arange(WINDOW, dtype=like.dtype, device=like.device) - WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    return weights / weights.sum()
