"""Image files as rows of an array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtsearch.data.decoding import convert, crop_centre, decode, fit_image, open_image
from mtsearch.data.formats.base import Request
from mtsearch.data.rows import FileRows, FileSet
from mtsearch.data.trees import Tree


@dataclass(frozen=True)
class DecodeImage:
    """Decodes a row from one image file, as `mtsearch.data.decoding.decode`; with `centre`, from
    the largest centred part that has the requested aspect ratio."""

    request: Request
    centre: bool = False

    def __call__(self, contents: Sequence[bytes], where: Sequence[str]) -> NDArray[np.uint8]:
        if not self.centre:
            return decode(contents[0], self.request, where[0])
        channels, height, width = self.request.shape
        image = convert(open_image(contents[0], where[0]), channels)
        return fit_image(crop_centre(image, (width, height)), self.request, where[0])

    def settings(self) -> dict[str, Any]:
        """The settings as plain values, from which `from_settings` makes an equal object."""
        request = self.request
        return {"shape": list(request.shape), "resize": request.resize, "centre": self.centre}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> DecodeImage:
        """Raises ValueError or KeyError for other content than that of `settings`."""
        channels, height, width = settings["shape"]
        request = Request((channels, height, width), resize=settings["resize"], lazy=True)
        return cls(request, bool(settings["centre"]))


def common_decoder(rows: object) -> DecodeImage | None:
    """How all rows of an array are decoded if each is one image file, else None."""
    if not isinstance(rows, FileRows):
        return None
    first = rows.sets[0].decode
    same = all(part.decode == first for part in rows.sets)
    return first if same and isinstance(first, DecodeImage) else None


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
