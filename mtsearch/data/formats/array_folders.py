"""Images and labels of pixels as arrays of numpy, `<split>/<name>/<number>.npy` with the images
in the folder `image`: the layout in which LibMTL and MTAN distribute NYUv2 and Cityscapes."""

from __future__ import annotations

import re

from mtsearch.config.errors import BadInput
from mtsearch.data.formats.base import ImageSet, LabelledImages, Request, image_format
from mtsearch.data.formats.class_folders import natural
from mtsearch.data.trees import Tree

_FILE = re.compile(r"(?:.*/)?(train|val|test)/([^/]+)/([^/]+)\.npy")


@image_format
class ArrayFolders(LabelledImages):
    """Images that only the builder `array_folders` can read.

    Attributes:
        arrays: the files by split, by folder (`image`, or the name of a label), by name.
    """

    name = "array_folders"

    def __init__(self, tree: Tree, arrays: dict[str, dict[str, dict[str, str]]]) -> None:
        super().__init__(tree)
        self.arrays = arrays
        self.splits = tuple(name for name in ("train", "val", "test") if name in arrays)

    @classmethod
    def find(cls, tree: Tree) -> ArrayFolders | None:
        arrays: dict[str, dict[str, dict[str, str]]] = {}
        for file in tree.files:
            if match := _FILE.fullmatch(file):
                split, folder, name = match.groups()
                arrays.setdefault(split, {}).setdefault(folder, {})[name] = file
        return cls(tree, arrays) if "image" in arrays.get("train", {}) else None

    @property
    def files(self) -> list[str]:
        return [
            file
            for folders in self.arrays.values()
            for names in folders.values()
            for file in names.values()
        ]

    def names(self, split: str) -> tuple[str, ...]:
        return tuple(sorted(self.arrays[split].get("image", {}), key=natural))

    def read(self, split: str, request: Request) -> ImageSet:
        raise BadInput(
            f"The arrays in {self.tree.path} have labels of pixels; write `source: {{kind:"
            " array_folders, ...}` in the data card."
        )
