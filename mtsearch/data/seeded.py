"""Random numbers of single examples: functions of a seed and the example, not of a batch.

An example has the same numbers whichever batch, process or order it is read in.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtsearch.config.schema import Augment
from mtsearch.data.transforms import Move

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MOVES = 10  # numbers of an example before those of its operations


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014, OOPSLA, doi 10.1145/2660193.2660195),
    a bijection of 64-bit integers."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def seeds_of(passes: Tensor, examples: Tensor) -> Tensor:
    """Seeds (B,), int64, of examples with numbers (B,) in passes with numbers (B,)."""
    number, index = (v.cpu().numpy().astype(np.int64).view(np.uint64) for v in (passes, examples))
    mixed = _mixed(_mixed(number + _STEP) + index * _STEP + _STEP)
    return torch.from_numpy(mixed.view(np.int64))


def uniform(seeds: Tensor, count: int) -> Tensor:
    """Numbers (B, count) in [0, 1), float64, of examples with seeds (B,)."""
    place = np.arange(1, count + 1, dtype=np.uint64) * _STEP
    bits = _mixed(seeds.numpy().view(np.uint64)[:, None] + place)
    return torch.from_numpy((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def draw_each(augment: Augment, seeds: Tensor) -> tuple[Move, Tensor]:
    """The augmentation of examples with seeds (B,), on the CPU, and the numbers (B, operations, 2)
    in [0, 1) for the operations of `augment.rand_augment`."""
    ops = 0 if augment.rand_augment is None else augment.rand_augment.ops
    u = uniform(seeds, _MOVES + 2 * ops)
    count = len(seeds)
    flip = (u[:, 0] < 0.5) & augment.flip
    angle = torch.deg2rad((2 * u[:, 1] - 1) * augment.rotation)
    side = 2 * augment.crop + 1
    offset = (u[:, 2:4] * side).floor() - augment.crop
    if augment.quarter_turns:
        angle = angle + (u[:, 4] * 4).floor() * (math.pi / 2)
    crop = light = None
    if augment.zoom:
        crop = 2 * u[:, 5:8] - 1
        crop[:, 0] = 1 - augment.zoom * u[:, 5]
        crop = crop.float()
    if augment.light:
        light = (1 + augment.light * (2 * u[:, 8:10] - 1)).float()
    move = Move(flip, angle.float(), offset.float(), crop, light)
    return move, u[:, _MOVES:].reshape(count, ops, 2)


def view_numbers(views: int, count: int, generator: torch.Generator) -> Tensor:
    """A random view for each of `count` examples of a pass, drawn from `generator`."""
    return torch.randint(views, (count,), generator=generator, device=generator.device)


def pass_numbers(augment: Augment, count: int, generator: torch.Generator) -> Tensor:
    """The numbers (count,) of the passes of examples: with `views` one of them at random, else one
    number of this pass. They are drawn from `generator`."""
    device = generator.device
    if augment.views is not None:
        return view_numbers(augment.views, count, generator)
    # numbers of passes are not those of views
    return torch.randint(1 << 62, (1,), generator=generator, device=device).expand(count)
