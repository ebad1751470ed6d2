"""Seeding and restoring of torch's global random generators for a block of code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def fork_rng(seed: int | None = None, state: Tensor | None = None) -> Iterator[None]:
    """Run a block with torch's global generators seeded, then restore their previous states.

    GPU generators are seeded, but their state is not saved, so that a restored trial is
    bit-identical on CPUs only.

    Args:
        seed: the seed of all generators.
        state: a state of the CPU generator from `torch.get_rng_state`, used where `seed` is None.
            With neither, the generators keep their states inside the block.
    """
    with torch.random.fork_rng():
        if seed is not None:
            torch.manual_seed(seed)
        elif state is not None:
            torch.set_rng_state(state)
        yield
