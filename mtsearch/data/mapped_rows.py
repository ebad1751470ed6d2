"""Rows of memory-mapped `.npy` files, read block by block when a store is written."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.errors import BadInput


def open_array(path: Path) -> NDArray[Any]:
    """A memory-mapped `.npy` file. Raises BadInput for a file that is none, or contains Python
    objects, which are never loaded."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{path} cannot be read as a .npy file of numbers ({reason}).") from None
    if not isinstance(array, np.ndarray) or not array.ndim:
        raise BadInput(f"{path} should be a .npy file with one row per example.")
    return array


class MappedRows:
    """Rows of an array as float32 (n, C, H, W), with the part of an array's interface that the
    writer of a store needs.

    Args:
        array: (N, ...), memory-mapped.
        index: numbers of the rows (n,).
        shape: (C, H, W) of a row.
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self, array: NDArray[Any], index: NDArray[np.int64], shape: tuple[int, int, int]
    ) -> None:
        self._array, self._index = array, index
        self.shape = (len(index), *shape)

    def __len__(self) -> int:
        return len(self._index)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        rows = self._array[self._index[part]]
        with np.errstate(over="ignore"):  # too large numbers become inf, which is refused
            return rows.astype(np.float32).reshape(-1, *self.shape[1:])
