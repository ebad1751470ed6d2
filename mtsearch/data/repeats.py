"""Equal images in the splits of a dataset, found while they are written."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtsearch.data.builders import SplitArrays
from mtsearch.data.remarks import remark
from mtsearch.data.rows import FileRows
from mtsearch.data.types import SPLITS


class Repeats:
    """Hashes of the decoded images, 8 bytes each, by which equal images are found.

    Args:
        splits: whose images are going to be added, split by split and in order.
    """

    def __init__(self, splits: Mapping[str, SplitArrays]) -> None:
        self._hashes: dict[str, array[int]] = {name: array("Q") for name in SPLITS}
        self._files = {
            name: part.images for name, part in splits.items() if isinstance(part.images, FileRows)
        }
        # members of a disjoint dataset may share images on purpose
        self._alone = {name for name, part in splits.items() if len(part.members) < 2}

    def add(self, split: str, rows: NDArray[Any]) -> None:
        """Add images (n, C, H, W) of a split."""
        for row in rows:
            digest = hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=8).digest()
            self._hashes[split].append(int.from_bytes(digest, "little"))

    def remark(self) -> None:
        """Remark on images of one split that are also in another, and on those that occur more than
        once in a split."""
        found = {name: np.frombuffer(part, np.uint64) for name, part in self._hashes.items()}
        for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
            self._say(
                f"images of {other} that are in {one}, too",
                other,
                np.isin(found[other], found[one]),
            )
        for name in self._alone:
            _, firsts = np.unique(found[name], return_index=True)
            again = np.ones(len(found[name]), np.bool_)
            again[firsts] = False
            self._say(f"images of {name} that occur there before", name, again)

    def _say(self, text: str, split: str, which: NDArray[np.bool_]) -> None:
        if which.any():
            place = int(which.argmax())
            files = self._files.get(split)
            names = files.names() if files is not None else None
            remark(text, names[place] if names else f"number {place}", int(which.sum()))
