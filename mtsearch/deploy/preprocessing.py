"""How a network's input is made from an image file, as plain values that an export keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mtsearch.config.errors import BadInput
from mtsearch.data import Dataset
from mtsearch.data.formats.base import Request
from mtsearch.data.formats.pictures import DecodeImage

MODES = {1: "L", 3: "RGB"}
FILTERS = ("nearest", "bilinear", "bicubic", "lanczos", "box")
CROPS = ("none", "centre")
_CENTRED = ("scenes_masks",)  # builders that read the centre of an image


@dataclass(frozen=True)
class Preprocessing:
    """The steps from an image file to the input of an exported network.

    The file is decoded as in `mtsearch.data.decoding`, cropped, scaled and divided by 255. The
    network itself applies `mean` and `std`.

    Attributes:
        shape: (channels, height, width), with 1 or 3 channels.
        resize: Pillow's filter for images of another size.
        crop: `none` scales the whole image; `centre` the largest centred part that has the aspect
            ratio of `shape`.
        mean: per channel, of pixels in [0, 1].
        std: per channel, of pixels in [0, 1].
        exact: whether all training images were read in this way. False for a dataset of several
            sets that are scaled in different ways.
    """

    shape: tuple[int, int, int]
    resize: str
    crop: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    exact: bool = True

    @classmethod
    def of(cls, dataset: Dataset) -> Preprocessing:
        """The steps by which the images of a dataset were read."""
        source = dataset.card.source
        found = set(_steps(source))
        resize, crop = found.pop() if len(found) == 1 else ("bilinear", "none")
        means = tuple(map(float, dataset.mean)), tuple(map(float, dataset.std))
        several = bool(found) or source.get("kind") == "disjoint"
        return cls(dataset.card.image_shape, resize, crop, *means, exact=not several)

    def pixels(self, content: bytes, where: str) -> Tensor:
        """Read an image file as uint8 (channels, height, width).

        Args:
            content: bytes of the file.
            where: its name in messages.

        Raises:
            BadInput: the file is not a readable image, or has a mode that 8 bits cannot represent.
        """
        decode = DecodeImage(Request(self.shape, resize=self.resize), self.crop == "centre")
        return torch.from_numpy(decode([content], [where]).copy()).movedim(-1, 0)

    def as_dict(self) -> dict[str, Any]:
        """The entry `preprocess` of an export's card."""
        channels, height, width = self.shape
        return {
            "orientation": "exif",
            "channels": MODES.get(channels, channels),
            "transparency": "dropped",
            "sixteen_bits": "linear",
            "crop": self.crop,
            "resize": {"height": height, "width": width, "filter": self.resize},
            "range": [0, 1],
            "mean": list(self.mean),
            "std": list(self.std),
            "exact": self.exact,
        }

    @classmethod
    def from_dict(cls, entry: Any, where: str) -> Preprocessing:
        """Read the entry `preprocess` of a card.

        Args:
            entry: what the card contains.
            where: the card in messages.

        Raises:
            BadInput: it is not what `as_dict` writes.
        """
        try:
            resize = entry["resize"]
            channels = {name: number for number, name in MODES.items()}[entry["channels"]]
            sides = [resize["height"], resize["width"]]
            means = tuple(map(float, entry["mean"])), tuple(map(float, entry["std"]))
            wrong = (
                not all(isinstance(side, int) and 0 < side <= 2**15 for side in sides)
                or resize["filter"] not in FILTERS
                or entry["crop"] not in CROPS
                or any(len(values) != channels for values in means)
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(where, f"{type(error).__name__}: {error}") from None
        if wrong:
            raise _damaged(where, "a value out of its range")
        found = (channels, sides[0], sides[1]), resize["filter"], entry["crop"]
        return cls(*found, *means, exact=entry.get("exact") is not False)


def _damaged(where: str, reason: str) -> BadInput:
    return BadInput(f"`preprocess` of {where} cannot be read ({reason}). Export the trial again.")


def _steps(source: Mapping[str, Any], crop: str | None = None) -> Iterator[tuple[str, str]]:
    """(filter, crop) of each set of images that a source names."""
    crop = crop or ("centre" if source.get("kind") in _CENTRED else "none")
    if source.get("resize"):
        yield str(source["resize"]), crop
    for value in source.values():
        for part in value if isinstance(value, list | tuple) else [value]:
            if isinstance(part, Mapping):
                yield from _steps(part, None if "kind" in part else crop)
