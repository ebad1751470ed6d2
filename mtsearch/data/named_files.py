"""Files that a data card names, instead of image sets that are found by their format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mtsearch.config.errors import BadInput
from mtsearch.data.formats.base import ImageSet, LabelledImages, Request
from mtsearch.data.trees import Folder, Tree


class NamedTree(Folder):
    """The files of a folder with these names; no other file is listed."""

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        self._names = tuple(names)
        super().__init__(path)

    def _list(self) -> list[str]:
        return [name for name in self._names if (self.path / name).exists()]


class NamedFiles(LabelledImages):
    """The files that a source names."""

    name = "files"
    splits = ("all",)

    @classmethod
    def find(cls, tree: Tree) -> LabelledImages | None:
        return None  # files are named, not found

    def read(self, split: str, request: Request) -> ImageSet:
        raise BadInput(f"The files in {self.tree.path} are not images.")


def named_files(root: Path, files: Sequence[str]) -> NamedFiles | None:
    """The files of these names below a root; None if one of them is missing."""
    tree = NamedTree(root, files)
    return NamedFiles(tree) if len(tree.files) == len(files) else None
