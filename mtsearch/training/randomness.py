"""Torch's global generators, lent to a trial."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Lent:
    """A context in which torch's global generators are seeded, or at a CPU state kept from before;
    afterwards the caller has its own back.

    Dropout on a GPU is seeded, but its position in the stream is not kept: bit-identical
    continuation is a promise for CPUs.
    """

    def __init__(self, seed: int | None, state: Tensor | None) -> None:
        self._seed, self._state = seed, state
        self._fork = torch.random.fork_rng()

    def __enter__(self) -> None:
        self._fork.__enter__()
        if self._seed is not None:
            torch.manual_seed(self._seed)
        elif self._state is not None:
            torch.set_rng_state(self._state)

    def __exit__(self, *exception: Any) -> None:
        self._fork.__exit__(*exception)
