"""The similarity of two rows in direction and length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
_BLOCK = 512


def similarity(rows: Matrix) -> Matrix:
    """``S(a, b) = <a, b> / max(|a|^2, |b|^2)`` in [-1, 1] for all pairs of the non-zero rows `rows`
    (n, length); (n, n), symmetric, 1 on the diagonal.

    Equal rows have 1, a row and its double 0.5, opposite rows -1 (Zhang et al. 2018).
    """
    # the scale cancels; without it squares of small rows would underflow
    rows = rows / max(np.abs(rows).max(initial=0.0), np.finfo(np.float32).tiny)
    squares = np.maximum(np.einsum("ij,ij->i", rows, rows), np.finfo(np.float32).tiny)
    values = rows @ rows.T
    # in blocks: 7,200 rows would need a second matrix of 200 MB
    for start in range(0, len(rows), _BLOCK):
        values[start : start + _BLOCK] /= np.maximum(squares[start : start + _BLOCK, None], squares)
    np.fill_diagonal(values, 1.0)
    return np.clip(values, -1.0, 1.0, out=values)
