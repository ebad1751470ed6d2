"""Seeded orders and splits. NumPy's `RandomState` is used throughout, because its streams are
frozen for ever: a seed means the same dataset on any version."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]


def order(count: int, *seed: int) -> Index:
    """A permutation of ``count`` items, fixed by the seed."""
    return stream(*seed).permutation(count).astype(np.int64)


def stream(*seed: int) -> np.random.RandomState:
    """The random stream of a seed, of any size."""
    return np.random.RandomState(
        [word for value in seed for word in (value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF)]
    )


def cut(
    labels: NDArray[np.int64],
    fraction: float,
    seed: int,
    groups: NDArray[np.int64] | None = None,
    *,
    salt: tuple[int, ...] = (),
) -> tuple[Index, Index]:
    """Cut N items into the rest and a part of ``fraction``, both in an order fixed by the seed and
    the salt.

    Without groups the part has round(N * fraction) items. With groups (int64 (N,), each within one
    class) no group is on both sides: in each class, whole groups go to the part until it holds at
    least ``fraction`` of the class, and a class's last group always stays in the rest.
    """
    shuffled = order(len(labels), seed, *salt)
    if groups is None:
        kept = len(labels) - round(len(labels) * fraction)
        return shuffled[:kept], shuffled[kept:]
    chosen: list[int] = []
    for label in np.unique(labels):
        members, sizes = np.unique(groups[labels == label], return_counts=True)
        mixed = order(len(members), seed, int(label), *salt)
        before = np.cumsum(sizes[mixed]) - sizes[mixed]
        chosen.extend(members[mixed][:-1][before[:-1] < fraction * sizes.sum()])
    inside = np.isin(groups[shuffled], chosen)
    return shuffled[~inside], shuffled[inside]
