"""Arrays of a store that are kept as image files and decoded when they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.errors import BadInput, Damaged
from mtsearch.data.formats.pictures import DecodeImage
from mtsearch.data.mapped import Column, all_bytes, copy_bytes, mapped

FILES = (".files", ".offsets", ".names")
"""What the names of the arrays end with that hold the files of an array, the start and end of each,
and their names."""


@dataclass(frozen=True)
class EncodedColumn(Column):
    """An array (N, C, H, W) that is decoded from image files.

    Attributes:
        decode: decodes a file to (H, W, C).
    """

    decode: DecodeImage

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """The rows (n, ...) with these numbers, in this order. Raises `Damaged`, with the name of
        the file, for one that cannot be decoded."""
        offsets = _offsets(self.path, self.name, self.count)
        out = np.empty((len(rows), *self.shape), np.uint8)
        contents = []
        with mapped(self.path) as transaction:
            for row in rows:
                content = np.empty(offsets[row + 1] - offsets[row], np.uint8)
                copy_bytes(transaction, f"{self.name}.files", int(offsets[row]), content)
                contents.append(content.tobytes())
        for place, row, found in zip(out, rows, contents, strict=True):
            try:
                place[:] = self.decode([found], [""]).transpose(2, 0, 1)
            except BadInput as error:
                raise self._damaged(int(row), error) from error
        return out

    def _damaged(self, row: int, error: BadInput) -> Damaged:
        why = str(error).partition("(")[2].partition(")")[0]
        return Damaged(
            f"The image {self.file_name(row)} in the store {self.path} cannot be read ({why});"
            f" delete the folder {self.path} and prepare the dataset again."
        )

    def file_name(self, row: int) -> str:
        """The name of a row's file where the dataset was prepared."""
        with mapped(self.path) as transaction:
            content = all_bytes(transaction, f"{self.name}.names")
        return content.split(b"\n")[row].decode(errors="replace")


@lru_cache(maxsize=32)
def _offsets(path: Path, name: str, count: int) -> NDArray[np.int64]:
    offsets = np.empty(count + 1, np.int64)
    with mapped(path) as transaction:
        copy_bytes(transaction, f"{name}.offsets", 0, offsets.view(np.uint8))
    return offsets
