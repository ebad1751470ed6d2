"""CelebA in its published files: one list of attributes and one of the splits."""

from __future__ import annotations

import posixpath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.data.builders.base import (
    DatasetBuilder,
    SplitArrays,
    SplitSpec,
    channels_first,
    dataset_builder,
)
from mtsearch.data.decoding import is_image
from mtsearch.data.formats import LabelledImages, Request
from mtsearch.data.formats.pictures import image_rows
from mtsearch.data.sources import ImageSource
from mtsearch.data.tables import refuse
from mtsearch.data.trees import Tree

ATTRIBUTES, PARTITION = "list_attr_celeba.txt", "list_eval_partition.txt"
_SPLITS = {"0": "train", "1": "val", "2": "test"}
_CLASSES = {"-1": 0, "1": 1}


@dataset_builder("celeba")
class CelebA(DatasetBuilder):
    """The images of `list_eval_partition.txt`, each task with the attribute of its name, or
    `column`, in `list_attr_celeba.txt`: class 1 has the attribute (1), class 0 has not (-1).

    The first line of the list of attributes is the number of images, the second their names. Files
    are found by name in any folder; of equal images those in `img_align_celeba` are used.
    """

    kind: Literal["celeba"] = "celeba"
    images: ImageSource

    def beside(self, name: str, images: LabelledImages) -> list[str]:
        return [
            file
            for file in images.tree.files
            if posixpath.basename(file) in (ATTRIBUTES, PARTITION)
        ]

    def compose(
        self, card: DatasetCard, found: dict[str, LabelledImages], spec: SplitSpec
    ) -> dict[str, SplitArrays]:
        tree = found["images"].tree
        names, rows = _attributes(tree)
        wrong: list[str] = []
        for task in card.tasks:
            column = task.column or task.name
            if column not in names:
                wrong.append(f"{ATTRIBUTES} has no `{column}`. {nearest(column, names)}")
            if task.kind != "classification" or task.outputs != 2:
                wrong.append(f"Task `{task.name}` should be a classification of 2 classes.")
        refuse(wrong)
        parts = _partition(tree, rows, wrong)
        places: dict[str, str] = {}
        for file in tree.files:  # the aligned images last, so that they are used
            if is_image(file) and "img_align_celeba" not in posixpath.dirname(file):
                places[posixpath.basename(file)] = file
        for file in tree.files:
            if is_image(file) and "img_align_celeba" in posixpath.dirname(file):
                places[posixpath.basename(file)] = file
        absent = [name for part in parts.values() for name in part if name not in places]
        if absent:
            wrong.append(
                f"{len(absent):,} images of {PARTITION}, such as {absent[0]}, are not in"
                f" {tree.path}; unpack img_align_celeba.zip there."
            )
        refuse(wrong)
        request = Request(card.image_shape, resize=self.images.resize, lazy=True)
        return {
            split: SplitArrays(
                channels_first(image_rows(tree, [places[name] for name in part], request)),
                tuple(_labels(task, names, rows, part) for task in card.tasks),
            )
            for split, part in parts.items()
        }


def _labels(
    task: TaskCard, names: list[str], rows: dict[str, list[str]], part: list[str]
) -> NDArray[np.int64]:
    column = names.index(task.column or task.name)
    return np.array([_CLASSES[rows[name][column]] for name in part], np.int64)


def _lines(tree: Tree, name: str) -> list[list[str]]:
    """The words of the lines of the only file of this name."""
    files = [file for file in tree.files if posixpath.basename(file) == name]
    if len(files) != 1:
        found = " and ".join(files[:2]) or "none"
        raise BadInput(f"{tree.path} should contain one {name}. Found {found}.")
    text = tree.read(files[0]).decode("utf-8-sig", errors="replace")
    return [line.split() for line in text.splitlines() if line.strip()]


def _attributes(tree: Tree) -> tuple[list[str], dict[str, list[str]]]:
    """The names of the attributes, and those of each image."""
    lines = _lines(tree, ATTRIBUTES)
    if len(lines) < 3 or len(lines[0]) != 1:
        raise BadInput(
            f"{ATTRIBUTES} in {tree.path} should begin with the number of images and the names of"
            " the attributes; put the published file there."
        )
    names = lines[1]
    wrong = [
        f"Row {number} of {ATTRIBUTES} should have an image and {len(names)} numbers, 1 or -1."
        for number, row in enumerate(lines[2:], start=3)
        if len(row) != len(names) + 1 or not set(row[1:]) <= set(_CLASSES)
    ]
    refuse(wrong)
    return names, {row[0]: row[1:] for row in lines[2:]}


def _partition(tree: Tree, rows: dict[str, Any], wrong: list[str]) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for number, row in enumerate(_lines(tree, PARTITION), start=1):
        if len(row) != 2 or row[1] not in _SPLITS:
            wrong.append(f"Row {number} of {PARTITION} should have an image and 0, 1 or 2.")
        elif row[0] not in rows:
            wrong.append(f"Row {number} of {PARTITION} names {row[0]}, which has no attributes.")
        else:
            parts[_SPLITS[row[1]]].append(row[0])
    if lacking := [split for split, part in parts.items() if not part]:
        wrong.append(f"{PARTITION} has no image of {lacking[0]}.")
    return parts
