"""Image files listed with their classes in JSON: `train.json` and `val.json` beside the folders
`train` and `val` (FashionRGB's layout)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from mtsearch.config.errors import BadInput
from mtsearch.data.decoding import is_image
from mtsearch.data.formats.base import ImageSet, LabelledImages, Request, image_format
from mtsearch.data.formats.pictures import image_rows
from mtsearch.data.remarks import remark
from mtsearch.data.trees import Tree


@image_format
class JsonLists(LabelledImages):
    """`<split>.json` is a list of records: the first field is the name of the class, the second a
    file in the folder `<split>`.

    Without `test.json`, the images of `val.json` are the test split, and the validation images are
    drawn from the training images, so that nothing is selected on test images.
    """

    name = "json_lists"

    def __init__(self, tree: Tree, folder: str, lists: dict[str, str]) -> None:
        super().__init__(tree)
        self._folder = folder
        self._lists = lists  # split -> name of the list
        self.splits = tuple(lists)

    @classmethod
    def find(cls, tree: Tree) -> JsonLists | None:
        for file in tree.files:
            folder, slash, name = file.rpartition("/")
            top = folder + slash
            if name == "train.json" and f"{top}val.json" in tree.files:
                lists = {"train": "train", "test": "val"}
                if f"{top}test.json" in tree.files:
                    lists = {name: name for name in ("train", "val", "test")}
                return cls(tree, top, lists)
        return None

    @property
    def files(self) -> list[str]:
        lists = [f"{self._folder}{stem}.json" for stem in self._lists.values()]
        folders = tuple(f"{self._folder}{stem}/" for stem in self._lists.values())
        return [*lists, *(file for file in self.tree.files if file.startswith(folders))]

    def read(self, split: str, request: Request) -> ImageSet:
        stem = self._lists[split]
        name = f"{self._folder}{stem}.json"
        records = self._records(stem)
        # The classes of all lists: a list that lacks a class would number the others differently.
        classes = request.classes or tuple(
            sorted({label for list_ in self._lists.values() for label, _ in self._records(list_)})
        )
        unknown = sorted({label for label, _ in records} - set(classes))
        if unknown:
            raise BadInput(
                f"The class `{unknown[0]}` in {name} in {self.tree.path} is not a class of the data"
                f" card, which names {', '.join(classes)}."
            )
        known = set(self.tree.files)
        listed = {f"{self._folder}{stem}/{file}" for _, file in records}
        unlisted = sorted(
            file
            for file in known - listed
            if file.startswith(f"{self._folder}{stem}/") and is_image(file)
        )
        if unlisted:
            remark(f"images that {name} does not list were left out", unlisted[0], len(unlisted))
        wanted = [f"{self._folder}{stem}/{file}" for _, file in records]
        missing = next((file for file in wanted if file not in known), None)
        if missing is not None:
            raise BadInput(
                f"The image {missing} that {name} lists is not in {self.tree.path}; complete the"
                " download."
            )
        labels = np.array([classes.index(label) for label, _ in records], np.int64)
        return ImageSet(image_rows(self.tree, wanted, request), labels)

    def _records(self, stem: str) -> list[tuple[str, str]]:
        name = f"{self._folder}{stem}.json"
        return [_record(entry, f"{name} in {self.tree.path}") for entry in self._load(name)]

    def _load(self, name: str) -> list[Any]:
        try:
            found = json.loads(self.tree.read(name))
        except (ValueError, RecursionError) as error:
            raise BadInput(
                f"The list {name} in {self.tree.path} is not JSON ({error}); download it again."
            ) from error
        if not isinstance(found, list) or not found:
            raise BadInput(
                f"The list {name} in {self.tree.path} should contain records of a class and a file."
                f" Found {type(found).__name__}."
            )
        return found


def _record(entry: Any, where: str) -> tuple[str, str]:
    fields = list(entry.values()) if isinstance(entry, dict) else entry
    if (
        not isinstance(fields, list)
        or len(fields) < 2
        or not all(isinstance(field, str) for field in fields[:2])
    ):
        raise BadInput(
            f"Each record of {where} should begin with a class's name and a file's name. Found"
            f" {entry!r}."
        )
    return fields[0], fields[1]
