"""Splits of a task's images into training images, hold-out, and images for selecting snapshots."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from mtsearch.config.population import MTOConfig
from mtsearch.population.seeding import generator_of

COMMON = -1  # key of the random stream that all tasks share


class SplitIndices(NamedTuple):
    """Disjoint indices into a training split."""

    train: Tensor
    hold_out: Tensor
    select: Tensor


def split_indices(count: int, settings: MTOConfig, seed: int, key: int) -> SplitIndices:
    """Split `count` images for task `key`.

    With ``validation_policy: independent`` every task has its own random hold-out of
    floor(fraction x count) images, on which other tasks may train, as in the published runs. With
    ``shared`` all tasks have the same hold-out, on which no task trains. ``shared_select`` also
    reserves a second shared part, on which snapshots are selected.
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
    """Return the mean, over pairs of tasks, of the share of one task's hold-out on which the other
    task trains; 0 for a single task."""
    shares = [
        len(a & b) / max(len(a), 1)
        for i, a in enumerate(hold_outs)
        for j, b in enumerate(seen)
        if i != j
    ]
    return sum(shares) / len(shares) if shares else 0.0
