"""Random streams by counter: what a stream yields depends on its name alone, never on what was
drawn before or on who draws."""

from __future__ import annotations

import hashlib
from typing import Literal

import torch

Purpose = Literal[
    "init", "split", "formulation", "order", "augment", "dropout", "donor", "evaluate"
]


def derive_seed(seed: int, purpose: Purpose, task: int, position: int = 0, lane: int = 0) -> int:
    """A 63-bit seed for one purpose of a task at a position (a step, a pass or a round).

    `lane` is 0 for all members that share their draws, else the member's number.
    """
    name = f"{seed}/{purpose}/{task}/{position}/{lane}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") >> 1


def seed_global_generators(seed: int, device: torch.device) -> None:
    """Set the global generators that dropout draws from. (`torch.manual_seed` formats a stack trace
    for each kind of device.)"""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def generator_of(
    seed: int, purpose: Purpose, task: int, position: int = 0, lane: int = 0
) -> torch.Generator:
    """A fresh CPU generator at the start of that stream."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose, task, position, lane))
