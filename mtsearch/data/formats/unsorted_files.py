"""Image files in any folders beside a CSV that says what they show, in a folder, zip or tar with
the set's name."""

from __future__ import annotations

from mtsearch.config.errors import BadInput
from mtsearch.data.formats.base import ImageSet, LabelledImages, Request, image_format
from mtsearch.data.formats.class_folders import ENDINGS
from mtsearch.data.trees import Folder, Tree


@image_format
class UnsortedFiles(LabelledImages):
    """What only the builder `table` can read."""

    name = "unsorted_files"
    splits = ("all",)

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self.lossy = any(file.lower().endswith((".jpg", ".jpeg")) for file in tree.files)

    @classmethod
    def find(cls, tree: Tree) -> UnsortedFiles | None:
        if (
            isinstance(tree, Folder) and tree.shallow
        ):  # whatever lies directly in a data root is of no set
            return None
        endings = {file.lower().rpartition(".")[2] for file in tree.files}
        return (
            cls(tree)
            if "csv" in endings and any(ending[1:] in endings for ending in ENDINGS)
            else None
        )

    @property
    def files(self) -> list[str]:
        return [file for file in self.tree.files if file.lower().endswith(ENDINGS)]

    def read(self, split: str, request: Request) -> ImageSet:
        raise BadInput(
            f"The images in {self.tree.path} lie in no folders of classes; name the CSV with their"
            " labels in the data card, by `source: {kind: table, ...}`."
        )
