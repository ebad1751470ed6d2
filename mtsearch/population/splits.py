"""How a task's images are cut into those it trains on and those on which states are judged."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from mtsearch.config.population import MTOConfig
from mtsearch.population.seeding import generator_of

COMMON = -1  # the key of the stream that all tasks share


class SplitIndices(NamedTuple):
    """Indices into one training split, disjoint."""

    train: Tensor
    hold_out: Tensor
    select: Tensor


def split_indices(count: int, settings: MTOConfig, seed: int, key: int) -> SplitIndices:
    """Cut `count` images for task `key`.

    ``independent``: every task's own random hold-out of floor(fraction x count), so that what one
    task is judged on others train on, as in the published runs. ``shared``: one hold-out, out of
    every task's training. ``shared_select``: a second such part, on which the snapshot is chosen.
    """
    size = math.floor(settings.holdout_fraction * count + 1e-9)
    own = settings.validation_policy == "independent" and settings.formulation.name != "seed"
    order = torch.randperm(count, generator=generator_of(seed, "split", key if own else COMMON))
    chosen = size if settings.validation_policy == "shared_select" else 0
    kept = count - size - chosen
    return SplitIndices(
        order[:kept], order[kept : kept + size], order[kept + size :] if chosen else order[:0]
    )


def overlap(hold_outs: list[set[int]], seen: list[set[int]]) -> float:
    """The mean share of a task's hold-out that another task trains on; 0 where there is one
    task."""
    shares = [
        len(a & b) / max(len(a), 1)
        for i, a in enumerate(hold_outs)
        for j, b in enumerate(seen)
        if i != j
    ]
    return sum(shares) / len(shares) if shares else 0.0
