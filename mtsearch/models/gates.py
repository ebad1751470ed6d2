"""Gates: weights of experts, whose weighted sum a task reads.

The weights are plain parameters, not layers, so that `trial.init` does not rescale them.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST_SIDE = 8  # of the image that a gate reads
EPSILON = 1e-6  # inside the logarithm of the entropy


class GateInput(nn.Module):
    """Images (B, C, H, W) -> (B, size): the image averaged over blocks to at most `side` x `side`
    pixels, as a vector. The number of blocks divides the side, so that all blocks are equal."""

    def __init__(self, shape: tuple[int, int, int], side: int = LARGEST_SIDE) -> None:
        super().__init__()
        channels, *sides = shape
        blocks = [max(n for n in range(1, side + 1) if pixels % n == 0) for pixels in sides]
        self.kernel = (sides[0] // blocks[0], sides[1] // blocks[1])
        self.size = channels * blocks[0] * blocks[1]

    def forward(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(images, self.kernel).flatten(1)


class SoftmaxGate(nn.Module):
    """softmax(W v) over the experts, for the averaged image v (Ma et al. 2018, equation 7).

    Args:
        shape: (channels, height, width) of the images.
        experts: their number n.
        side: the largest side of the averaged image.
    """

    def __init__(self, shape: tuple[int, int, int], experts: int, side: int = LARGEST_SIDE) -> None:
        super().__init__()
        self.read = GateInput(shape, side)
        bound = 1 / math.sqrt(self.read.size)
        self.weight = nn.Parameter(torch.empty(experts, self.read.size).uniform_(-bound, bound))

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, n), non-negative with sum 1."""
        return F.linear(self.read(images), self.weight).softmax(1)


def smooth_step(t: Tensor, gamma: float) -> Tensor:
    """The smooth step of DSelect-k (Hazimeh et al. 2021, equation 4): 0 below -gamma / 2, 1 above
    gamma / 2, and the cubic -2 t^3 / gamma^3 + 3 t / (2 gamma) + 1 / 2 between."""
    t = t.clamp(-gamma / 2, gamma / 2)
    return -2 / gamma**3 * t**3 + 3 / (2 * gamma) * t + 0.5


class DSelectGate(nn.Module):
    """A sum of k selectors of a single expert each (Hazimeh et al. 2021, equations 5 to 9).

    Selector i has m = log2(n) logits z_i; expert j has the weight

        r(z_i)_j = prod_b S(z_ib) if bit b of j is 1, else 1 - S(z_ib)

    with the smooth step S, and the gate is q = sum_i softmax(alpha)_i r(z_i). When all |z_ib| are
    at least gamma / 2, q has at most k non-zero weights.

    Args:
        shape: (channels, height, width) of the images.
        experts: their number n, a power of 2.
        chosen: the number k of selectors.
        gamma: the width of the smooth step.
        per_example: whether z and alpha are linear functions of the averaged image instead of
            parameters.
    """

    bits: Tensor

    def __init__(
        self,
        shape: tuple[int, int, int],
        experts: int,
        chosen: int,
        gamma: float,
        per_example: bool,
    ) -> None:
        super().__init__()
        length = experts.bit_length() - 1
        self.gamma = gamma
        self.read = GateInput(shape) if per_example else None
        inputs = () if self.read is None else (self.read.size,)
        # small different logits: every expert starts with about 1 / n
        self.code = nn.Parameter(
            torch.empty(chosen, length, *inputs).uniform_(-gamma / 100, gamma / 100)
        )
        self.alpha = nn.Parameter(torch.empty(chosen, *inputs).uniform_(-0.05, 0.05))
        codes = [[bool(j >> b & 1) for b in range(length)] for j in range(experts)]
        self.register_buffer("bits", torch.tensor(codes), persistent=False)

    def selectors(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B or 1, k, n): the weights r of each selector."""
        logits = (
            self.code[None]
            if self.read is None
            else torch.einsum("bd,kmd->bkm", self.read(images), self.code)
        )
        precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
        step = smooth_step(precise, self.gamma)[:, :, None]
        return torch.where(self.bits, step, 1 - step).prod(-1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B or 1, n), non-negative with sum 1."""
        alpha = (
            self.alpha[None] if self.read is None else F.linear(self.read(images), self.alpha)
        ).softmax(1)
        return (alpha[:, :, None] * self.selectors(images)).sum(1)

    def entropy(self, images: Tensor) -> Tensor:
        """Return the entropies of the selectors (equation 10), in nats: their sum over the
        selectors, and the mean over images. It is 0 when each selector has chosen one expert."""
        r = self.selectors(images)
        return -(r * (r + EPSILON).log()).sum((1, 2)).mean()
