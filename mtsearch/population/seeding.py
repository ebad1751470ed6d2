"""Counter-based random streams: the numbers of a stream depend on its name only, not on earlier
draws or on the process."""

from __future__ import annotations

import hashlib
from typing import Literal

import torch

Purpose = Literal[
    "init", "split", "formulation", "order", "augment", "dropout", "donor", "evaluate"
]


def derive_seed(seed: int, purpose: Purpose, task: int, position: int = 0, lane: int = 0) -> int:
    """Return a 63-bit seed for one purpose of a task at a position (a step, a pass or a round).

    `lane` is 0 for members that share their random numbers, else the number of the member.
    """
    name = f"{seed}/{purpose}/{task}/{position}/{lane}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") >> 1


def seed_global_generators(seed: int, device: torch.device) -> None:
    """Seed the global generators, which dropout uses. (`torch.manual_seed` is slow, because it
    formats a stack trace for each kind of device.)"""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def generator_of(
    seed: int, purpose: Purpose, task: int, position: int = 0, lane: int = 0
) -> torch.Generator:
    """Return a new CPU generator with the seed of `derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose, task, position, lane))
