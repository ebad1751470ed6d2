"""Channel groups: which channels of which tensors are kept or removed together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Labels:
    """The groups of a tensor's channels.

    Attributes:
        axis: the channel axis, at least 1 (axis 0 is the batch).
        ids: (n,) the group of each position on that axis.
    """

    axis: int
    ids: Ids


class Groups:
    """A union-find structure over channels. A pinned group is never removed."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._pinned: set[int] = set()

    def new(self, count: int, *, pinned: bool = False) -> Ids:
        """`count` new groups of one channel each."""
        ids = range(len(self._parent), len(self._parent) + count)
        self._parent.extend(ids)
        if pinned:
            self._pinned.update(ids)
        return np.array(ids, dtype=np.int64)

    def join(self, a: Ids, b: Ids) -> None:
        """Merge the groups of two tensors position by position."""
        for left, right in zip(a.tolist(), b.tolist(), strict=True):
            self._parent[self._root(left)] = self._root(right)

    def pin(self, ids: Ids) -> None:
        """Mark channels that have to be kept."""
        self._pinned.update(ids.tolist())

    def roots(self, ids: Ids) -> Ids:
        """The representative of each position's group."""
        return np.array([self._root(i) for i in ids.tolist()], dtype=np.int64)

    def pinned(self) -> Mask:
        """(groups,) whether a representative's group is pinned."""
        mask = np.zeros(len(self._parent), dtype=bool)
        mask[[self._root(i) for i in self._pinned]] = True
        return mask

    def _root(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i


@dataclass(frozen=True)
class Use:
    """A layer or a batch norm that the forward pass called.

    Attributes:
        inputs: (n,) groups of its inputs.
        outputs: (m,) groups of its outputs; those of a batch norm are its inputs'.
        reads: (m, n) whether a weight is not zero; None for a batch norm.
    """

    inputs: Ids
    outputs: Ids
    reads: Mask | None


def needed_groups(groups: Groups, uses: list[Use]) -> Mask:
    """(groups,) the representatives whose channels the network's outputs depend on.

    The least set that has all pinned groups, every input that a needed output of a layer reads, and
    at least one output and one input of each layer (torch has no layers without them).
    """
    needed = groups.pinned()
    layers = [
        (groups.roots(use.inputs), groups.roots(use.outputs), use.reads)
        for use in uses
        if use.reads is not None
    ]
    while True:
        before = int(needed.sum())
        for inputs, outputs, reads in layers:
            needed[inputs[reads[needed[outputs]].any(0)]] = True
        if int(needed.sum()) > before:
            continue
        empty = [ids for io in layers for ids in io[:2] if not needed[ids].any()]
        if not empty:
            return needed
        needed[empty[0][0]] = True
