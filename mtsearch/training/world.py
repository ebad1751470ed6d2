"""The ranks that train one trial together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class World:
    """One process: rank 0 of 1."""

    rank: int = 0
    size: int = 1
