"""Inputs that a layer reads, and inputs that have equal weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mtsearch.sparsity.rows import row_matrix, zero_rows


def live_inputs(weight: Tensor, outputs: Tensor) -> Tensor:
    """(n,) bool: the inputs that the kept `outputs` (bool, (out,)) of a weight (out, n, ...) depend
    on.

    A layer that ignores all its inputs keeps its first one, with its zero weights: torch has no
    layers without inputs.
    """
    live = ~zero_rows(weight[outputs])
    if not live.any():
        live[0] = True
    return live


@dataclass(frozen=True)
class Groups:
    """The distinct rows among live inputs: `group` (m,) is each live input's row number, `first`
    (u,) where a row occurs first."""

    group: Tensor
    first: Tensor


def group_rows(weight: Tensor) -> Groups:
    """Group the equal rows (bit by bit, but for the sign of zero) of a weight (out, m, ...),
    numbered by first occurrence."""
    numbers: dict[bytes, int] = {}
    group = [
        numbers.setdefault(row.tobytes(), len(numbers))
        for row in _comparable(row_matrix(weight)).numpy()
    ]
    first = {number: position for position, number in reversed(list(enumerate(group)))}
    return Groups(
        torch.tensor(group), torch.tensor([first[number] for number in range(len(numbers))])
    )


def _comparable(rows: Tensor) -> Tensor:
    """Rows whose equal values have equal bytes, in a type that NumPy has."""
    wide = rows.float() if rows.dtype in (torch.bfloat16, torch.float16) else rows
    return (wide + 0.0).contiguous()
