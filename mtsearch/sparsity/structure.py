"""The structure that the retrain phase keeps: which rows are zero and which are tied."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Structure:
    """For each layer the map from its rows to unique rows.

    Attributes:
        rows: by layer name, int64 (n,): row i is unique row ``rows[i]``, numbered from 0 in the
            order of their first members; -1 is a zero row.
        unconverged: layers whose clustering did not converge; their rows are not tied.
    """

    rows: dict[str, Tensor]
    unconverged: tuple[str, ...] = field(default=())

    def unique(self, name: str) -> int:
        """The number of unique rows of a layer, without the zero row."""
        return int(self.rows[name].max()) + 1 if len(self.rows[name]) else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for JSON."""
        return {
            "rows": {name: index.tolist() for name, index in self.rows.items()},
            "unconverged": list(self.unconverged),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Structure:
        """The structure that `to_dict` returned."""
        rows = {
            name: torch.tensor(index, dtype=torch.int64) for name, index in values["rows"].items()
        }
        return cls(rows, tuple(values["unconverged"]))
