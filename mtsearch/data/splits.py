"""Seeded orders and splits.

All use NumPy's `RandomState`, whose random streams do not change between NumPy versions, so that a
seed always gives the same dataset.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]


def order(count: int, *seed: int) -> Index:
    """A permutation of ``count`` items, fixed by the seed."""
    return stream(*seed).permutation(count).astype(np.int64)


def stream(*seed: int) -> np.random.RandomState:
    """The random stream of a seed, an integer of any size."""
    return np.random.RandomState(
        [word for value in seed for word in (value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF)]
    )


def split_indices(
    labels: NDArray[np.int64],
    fraction: float,
    seed: int,
    groups: NDArray[np.int64] | None = None,
    *,
    salt: tuple[int, ...] = (),
) -> tuple[Index, Index]:
    """Split N items into the rest and a part.

    Without groups the part has round(N * fraction) items. With groups no group is in both: in each
    class, whole groups are added to the part until it holds at least ``fraction`` of the class; the
    last group of a class always stays in the rest.

    Args:
        labels: class of each item, (N,).
        fraction: share of the part, in (0, 1).
        seed: of the order of both results.
        groups: group of each item, (N,); a group lies within one class.
        salt: further words of the seed.

    Returns:
        Indices of the rest and of the part.
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
