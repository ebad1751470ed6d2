"""Image files as rows of an array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mtsearch.data.decoding import decode
from mtsearch.data.formats.base import Request
from mtsearch.data.rows import FileRows, FileSet
from mtsearch.data.trees import Tree


@dataclass(frozen=True)
class DecodeImage:
    """Decodes a row from one image file, as `mtsearch.data.decoding.decode`."""

    request: Request

    def __call__(self, contents: Sequence[bytes], where: Sequence[str]) -> NDArray[np.uint8]:
        return decode(contents[0], self.request, where[0])


def image_rows(
    tree: Tree, files: Sequence[str], request: Request, origin: Sequence[str] | None = None
) -> NDArray[np.uint8] | FileRows:
    """Image files of a tree as an array uint8 (N, H, W, C) in the requested shape.

    Args:
        tree: the files' folder or archive.
        files: the file of each row.
        request: the requested shape and the resize filter.
        origin: what messages name after each file; by default the tree.
    """
    channels, height, width = request.shape
    rows = FileRows(
        [
            FileSet(
                tree,
                [(file,) for file in files],
                DecodeImage(replace(request, classes=(), group=None)),
                (height, width, channels),
                np.dtype(np.uint8),
                origin,
            )
        ]
    )
    return request.images(rows)
