"""Image files in one folder per class: `<class>/<file>`, or `{train,val,test}/<class>/<file>`, in a
folder, zip or tar archive."""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath

import numpy as np

from mtsearch.config.errors import BadInput
from mtsearch.data.decoding import is_image, is_jpeg
from mtsearch.data.formats.base import ImageSet, LabelledImages, Request, image_format
from mtsearch.data.formats.pictures import image_rows
from mtsearch.data.trees import Tree

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@image_format
class ClassFolders(LabelledImages):
    """The folder names are the classes; images are read class by class in the natural order of
    their names."""

    name = "class_folders"
    ordered = False

    def __init__(self, tree: Tree, files: dict[str, list[tuple[str, str]]]) -> None:
        super().__init__(tree)
        self._files = files  # split -> [(class, file)]
        self.splits = tuple(files)
        self.lossy = any(is_jpeg(file) for entries in files.values() for _, file in entries)

    @classmethod
    def find(cls, tree: Tree) -> ClassFolders | None:
        images = [file for file in tree.files if is_image(file)]
        if not images:
            return None
        folders = {file.rpartition("/")[0] for file in images}
        shared = os.path.commonpath(folders).split("/")
        if shared[-1].lower() in SPLIT_FOLDERS:
            shared.pop()
        top = len("/".join(shared)) + 1 if any(shared) else 0
        parts = [(file, file[top:].split("/")) for file in images]
        files: dict[str, list[tuple[str, str]]] = {}
        if all(len(p) == 3 and p[0].lower() in SPLIT_FOLDERS for _, p in parts):
            for file, (split, label, _) in parts:
                files.setdefault(SPLIT_FOLDERS[split.lower()], []).append((label, file))
        elif all(len(p) == 2 and p[0].lower() not in SPLIT_FOLDERS for _, p in parts):
            files["all"] = [(p[0], file) for file, p in parts]
        else:
            return None
        return cls(tree, files)

    @property
    def files(self) -> list[str]:
        return [file for entries in self._files.values() for _, file in entries]

    def names(self, split: str) -> tuple[str, ...]:
        return tuple(f"{label}/{PurePosixPath(file).stem}" for label, file in self._entries(split))

    def _entries(self, split: str) -> list[tuple[str, str]]:
        return sorted(self._files[split], key=lambda entry: (entry[0], natural(entry[1])))

    def read(self, split: str, request: Request) -> ImageSet:
        entries = self._entries(split)
        classes = request.classes or tuple(
            sorted({label for listed in self._files.values() for label, _ in listed})
        )
        unknown = sorted({label for label, _ in entries} - set(classes))
        if unknown:
            raise BadInput(
                f"The folder `{unknown[0]}` in {self.tree.path} is not a class of the data card,"
                f" which names {', '.join(classes)}."
            )
        numbers = {label: number for number, label in enumerate(classes)}
        return ImageSet(
            image_rows(self.tree, [file for _, file in entries], request),
            np.array([numbers[label] for label, _ in entries], np.int64),
            self._groups(split, request.group),
        )

    def _groups(self, split: str, pattern: str | None) -> np.ndarray | None:
        if pattern is None:
            return None
        # Numbered over all splits: a group may have images in several splits, which are joined and
        # divided again.
        numbers = {
            key: number
            for number, key in enumerate(
                sorted({key for name in self.splits for key in self._keys(name, pattern)})
            )
        }
        return np.array([numbers[key] for key in self._keys(split, pattern)], np.int64)

    def _keys(self, split: str, pattern: str) -> list[str]:
        keys = []
        for label, file in self._entries(split):
            match = re.match(pattern, PurePosixPath(file).stem)
            if match is None or not match.groups():
                raise BadInput(
                    f"The pattern `group: {pattern}` of the data card should capture a group in"
                    f" the name of every file. Found {file} in {self.tree.path}."
                )
            keys.append(f"{label}/{match[1]}")
        return keys


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers in names by their value: `2.png` before `10.png`."""
    parts = re.split(r"([0-9]{1,18})", name)  # odd places are numbers
    return [(int(part), "") if place % 2 else (-1, part) for place, part in enumerate(parts)]
