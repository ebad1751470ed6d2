"""One image set with a CSV that has a row per image and a column per task."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

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
from mtsearch.data.remarks import remark
from mtsearch.data.rows import FileRows
from mtsearch.data.sources import ImageSource
from mtsearch.data.splits import split_indices
from mtsearch.data.tables import Rows, read_table, refuse, split_tags
from mtsearch.data.trees import Tree

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_LARGEST = float(np.finfo(np.float32).max)


@dataset_builder("table")
class Table(DatasetBuilder):
    """The images that the rows of a CSV name, with labels from the columns named like the tasks.

    A classification reads the class name, or the class number if the card names no classes, and so
    does an ordinal, whose classes are in their order. A multilabel reads tags with `;` or `|`
    between them, and `-` for no tag. A regression reads numbers from the column named like the
    task, or from `<task>_0`, `<task>_1`, ... if it has several outputs. `column` of a task names
    another column. An empty cell is a missing label. All mistakes of a table are reported at once.

    Attributes:
        images: the image set.
        file: path of the CSV in the set's folder or archive, or in a folder of these.
        path: column with the image files, relative to the CSV.
        split: column with `train`, `val` or `test`. Without it, or for splits that it does not
            name, the test images are ``images.test_fraction`` in the order of
            ``images.order_seed``, and the validation images are drawn from the training images by
            the configuration.
    """

    kind: Literal["table"] = "table"
    images: ImageSource
    file: str = "labels.csv"
    path: str = "path"
    split: str | None = None

    @model_validator(mode="after")
    def _reject_unused_settings(self) -> Table:
        idle = [
            key
            for key in ("shape", "group", "original_classes", "per_class", "folds")
            if getattr(self.images, key)
        ]
        if idle:
            raise ValueError(f"`images.{idle[0]}` has no effect with a table. Leave it out")
        return self

    def beside(self, name: str, images: LabelledImages) -> list[str]:
        return [
            file
            for file in images.tree.files
            if f"/{posixpath.normpath(file)}".endswith(f"/{self.file}")
        ]

    def compose(
        self, card: DatasetCard, found: dict[str, LabelledImages], spec: SplitSpec
    ) -> dict[str, SplitArrays]:
        tree = found["images"].tree
        files = {posixpath.normpath(name): name for name in tree.files}
        file = self._file(tree, files)
        where = f"{file} in {tree.path}"
        rows = read_table(tree.read(files[file]), where, self.path)
        names = next(iter(rows.values()))
        columns = (
            self.path,
            *([self.split] if self.split else []),
            *(name for task in card.tasks for name in _columns(task)),
        )
        refuse(
            [
                f"{where} has no column `{column}`. {nearest(column, names)}"
                for column in columns
                if column not in names
            ]
        )
        wrong: list[str] = []
        labels = [_labels(task, rows, where, wrong) for task in card.tasks]
        parts = self._parts(rows, where, wrong)
        places = self._places(rows, posixpath.dirname(file), files, where, wrong)
        refuse(wrong)
        index = self._split(parts, len(rows), spec, where)
        unlisted = [name for name in tree.files if is_image(name) and name not in places]
        if unlisted:
            remark(f"images that {file} does not name were left out", unlisted[0], len(unlisted))
        images = self._images(tree, places, list(rows), card, where)
        return {
            name: SplitArrays(
                channels_first(images[rest]), tuple(values[rest] for values in labels)
            )
            for name, rest in index.items()
        }

    def _file(self, tree: Tree, files: Mapping[str, str]) -> str:
        """The path of the CSV: as the card gives it, or below the only top-level folder that has
        it, because archives often contain a single folder."""
        tables = [name for name in files if name.lower().endswith(".csv")]
        inside = [name for name in files if name == self.file] or [
            name for name in files if name.endswith(f"/{self.file}")
        ]
        if len(inside) > 1:
            raise BadInput(
                f"{tree.path} contains {inside[0]} and {inside[1]}; say in the data card which one"
                " `file` is."
            )
        if not inside:
            others = nearest(self.file, tables) if tables else "There is no other CSV either."
            raise BadInput(
                f"There is no {self.file} in {tree.path}, which the data card names. {others}"
            )
        return inside[0]

    def _places(
        self, rows: Rows, folder: str, files: Mapping[str, str], where: str, wrong: list[str]
    ) -> dict[str, int]:
        """The image indices by file, in the order of the rows. Mistakes are added to `wrong`."""
        places, numbers = dict[str, int](), list(rows)
        for place, (number, row) in enumerate(rows.items()):
            name = files.get(
                posixpath.normpath(posixpath.join(folder, row[self.path].replace("\\", "/")))
            )
            if name is None:
                wrong.append(
                    f"Row {number} of {where} names {row[self.path]!r}, but there is no such file."
                )
            elif name in places:
                wrong.append(
                    f"Rows {numbers[places[name]]} and {number} of {where} name the same image,"
                    f" {row[self.path]}; keep one."
                )
            else:
                places[name] = place
        return places

    def _images(
        self,
        tree: Tree,
        places: Mapping[str, int],
        numbers: list[int],
        card: DatasetCard,
        where: str,
    ) -> NDArray[np.uint8] | FileRows:
        request = Request(card.shape, resize=self.images.resize, lazy=True)
        origin = [f"of row {number} of {where}" for number in numbers]
        return image_rows(tree, list(places), request, origin)

    def _parts(self, rows: Rows, where: str, wrong: list[str]) -> dict[str, list[int]]:
        """The image indices of each split that the table names. Mistakes are added to `wrong`."""
        parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
        for place, (number, row) in enumerate(rows.items()):
            word = row[self.split].lower() if self.split else "train"
            if word not in _SPLITS:
                wrong.append(
                    f"Row {number} of {where} should be of train, val or test. Found"
                    f" {row[str(self.split)]!r}."
                )
            else:
                parts[_SPLITS[word]].append(place)
        return parts

    def _split(
        self, parts: Mapping[str, list[int]], count: int, spec: SplitSpec, where: str
    ) -> dict[str, NDArray[np.int64]]:
        """Image indices by split, in which missing splits are drawn."""
        index = {name: np.array(places, np.int64) for name, places in parts.items()}
        if not len(index["test"]):
            if self.images.test_fraction is None:
                raise BadInput(
                    f"{where} names no test images; add `test_fraction` to `images` in the data"
                    " card, or name a column with `split`."
                )
            index["train"], index["test"] = self._divide(
                index["train"], self.images.test_fraction, self.images.order_seed
            )
        if not len(index["val"]):
            index["train"], index["val"] = self._divide(
                index["train"], spec.val_fraction, spec.seed
            )
        if lacking := [name for name, places in index.items() if not len(places)]:
            raise BadInput(
                f"The {count} row(s) of {where} leave no images for {lacking[0]}; add some."
            )
        return index

    @staticmethod
    def _divide(
        places: NDArray[np.int64], fraction: float, seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        rest, part = split_indices(places, fraction, seed)
        return places[rest], places[part]


def _columns(task: TaskCard) -> list[str]:
    column = task.column or task.name
    if task.kind == "regression" and task.outputs > 1:
        return [f"{column}_{number}" for number in range(task.outputs)]
    return [column]


def _labels(task: TaskCard, rows: Rows, where: str, wrong: list[str]) -> NDArray[Any]:
    """The labels of a task. Mistakes are added to `wrong`."""
    columns = _columns(task)

    def read(cell: Any, *about: Any) -> Any:
        try:
            return cell(*about, where)
        except BadInput as error:
            wrong.append(str(error))
            return 0

    if task.kind == "multilabel":
        (column,) = columns
        tags = [
            read(_tags, task, row[column], number) or _untagged(task)
            for number, row in rows.items()
        ]
        return np.array(tags, np.float32)
    if task.kind in ("classification", "ordinal"):
        (column,) = columns
        classes = [read(_class, task, row[column], number) for number, row in rows.items()]
        return np.array(classes, np.int64)
    if task.kind == "regression":
        cells = [
            [read(_number, row[name], name, number) for name in columns]
            for number, row in rows.items()
        ]
        return np.array(cells, np.float32)
    raise BadInput(
        f"A table contains classes, tags and numbers, so task `{task.name}` should be a"
        f" classification, a multilabel, an ordinal or a regression. Found {task.kind}."
    )


def _untagged(task: TaskCard) -> list[float]:
    return [math.nan] * task.outputs


def _tags(task: TaskCard, cell: str, number: int, where: str) -> list[float]:
    """0 or 1 for each tag of the task; NaN in an empty cell."""
    if not cell:
        return _untagged(task)
    found = split_tags(cell)
    for tag in found:
        if tag not in task.classes:
            raise BadInput(
                f"Row {number} of {where} has the unknown tag {tag!r} of `{task.name}`."
                f" {nearest(tag, task.classes)}"
            )
    return [float(name in found) for name in task.classes]


def _class(task: TaskCard, cell: str, number: int, where: str) -> int:
    if not cell:
        return task.ignore
    if task.classes:
        if cell not in task.classes:
            raise BadInput(
                f"Row {number} of {where} has the unknown class {cell!r} of `{task.name}`."
                f" {nearest(cell, task.classes)}"
            )
        return task.classes.index(cell)
    if not cell.isdecimal() or len(cell) > 9 or int(cell) >= task.outputs:
        raise BadInput(
            f"Row {number} of {where} should have a class 0..{task.outputs - 1} of `{task.name}`."
            f" Found {cell!r}."
        )
    return int(cell)


def _number(cell: str, column: str, number: int, where: str) -> float:
    if not cell:
        return math.nan
    try:
        value = math.nan if "_" in cell else float(cell)  # Python reads 1_0 as 10
    except ValueError:
        value = math.nan
    if not abs(value) <= _LARGEST:
        raise BadInput(
            f"Row {number} of {where} should have a number in `{column}`, or nothing. Found"
            f" {cell!r}."
        )
    return value
