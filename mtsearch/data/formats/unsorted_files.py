"""Image files in any folders beside a CSV with their labels, in a folder, zip or tar archive with
the set's name."""

from __future__ import annotations

from mtsearch.config.errors import BadInput
from mtsearch.data.decoding import is_image, is_jpeg
from mtsearch.data.formats.base import ImageSet, LabelledImages, Request, image_format
from mtsearch.data.trees import Folder, Tree

LISTS = (".csv", "list_attr_celeba.txt")
"""What the names of files with labels end with."""


@image_format
class UnsortedFiles(LabelledImages):
    """Images that only the builders `table` and `celeba` can read."""

    name = "unsorted_files"
    splits = ("all",)

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self.lossy = any(is_jpeg(file) for file in tree.files)

    @classmethod
    def find(cls, tree: Tree) -> UnsortedFiles | None:
        # Files directly in a data root belong to no set.
        if isinstance(tree, Folder) and tree.shallow:
            return None
        tables = any(file.lower().endswith(LISTS) for file in tree.files)
        return cls(tree) if tables and any(map(is_image, tree.files)) else None

    @property
    def files(self) -> list[str]:
        return [file for file in self.tree.files if is_image(file)]

    def read(self, split: str, request: Request) -> ImageSet:
        raise BadInput(
            f"The images in {self.tree.path} are not in folders of classes; name the CSV with their"
            " labels in the data card, by `source: {kind: table, ...}`."
        )
