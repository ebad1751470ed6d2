"""One set of images with a CSV: a row an image, a column a task."""

from __future__ import annotations

import csv
import io
import math
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.data.composers.base import Composer, Cut, Side, channels_first, composer
from mtsearch.data.find import ImageSource
from mtsearch.data.formats import LabelledImages, Request
from mtsearch.data.formats.class_folders import decode
from mtsearch.data.splits import cut as cut_indices
from mtsearch.data.trees import Tree

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
Rows = list[dict[str, str]]


@composer("table")
class Table(Composer):
    """The images that the rows of a CSV name, whose labels stand in the columns named as the tasks.

    ``file``: the CSV, in the set's folder or archive. ``path``: the column with the images' files, relative to the CSV. ``split``: a column
    of `train`, `val` and `test`; without one, and for what it lacks, the test images are ``images.test_fraction`` in the order of
    ``images.order_seed``, and the validation images are drawn from the training images by the configuration.

    Classes are cells with a class's name, or with its number where the card names none. The numbers of a regression stand in the column
    named as the task, several of them in `<task>_0`, `<task>_1`, ... An empty cell is a missing label.
    """

    kind: Literal["table"] = "table"
    images: ImageSource
    file: str = "labels.csv"
    path: str = "path"
    split: str | None = None

    @model_validator(mode="after")
    def _what_tables_have_no_use_for(self) -> Table:
        idle = [key for key in ("shape", "group", "original_classes", "per_class", "folds") if getattr(self.images, key)]
        if idle:
            raise ValueError(f"`images.{idle[0]}` has no use with a table. Leave it out")
        return self

    def compose(self, card: DatasetCard, found: dict[str, LabelledImages], cut: Cut) -> dict[str, Side]:
        tree = found["images"].tree
        where, rows = self._rows(tree)
        for column in (self.path, *([self.split] if self.split else []), *(name for task in card.tasks for name in _columns(task))):
            if column not in rows[0]:
                raise BadInput(f"{where} has no column `{column}`. {nearest(column, rows[0])}")
        labels = [_labels(task, rows, where) for task in card.tasks]
        index = self._cut(rows, cut, where)
        images = self._images(tree, rows, card, where)
        return {name: Side(channels_first(images[rest]), tuple(values[rest] for values in labels)) for name, rest in index.items()}

    def _rows(self, tree: Tree) -> tuple[str, Rows]:
        where = f"{self.file} in {tree.path}"
        if self.file not in tree.files:
            tables = [file for file in tree.files if file.lower().endswith(".csv")]
            raise BadInput(f"There is no {where}, which the data card names. {nearest(self.file, tables)}")
        try:
            rows = list(csv.DictReader(io.StringIO(tree.read(self.file).decode("utf-8-sig"), newline=""), restval=""))
        except (UnicodeDecodeError, csv.Error) as error:
            raise BadInput(f"{where} is no CSV in UTF-8 ({error}); save it as one.") from error
        if not rows:
            raise BadInput(f"{where} has no rows; it should have a line of names and a row an image.")
        for number, row in enumerate(rows, start=1):
            if None in row:
                raise BadInput(f"Row {number} of {where} has more cells than there are columns; put cells with commas in quotes.")
        return where, [{str(key).strip(): str(value).strip() for key, value in row.items()} for row in rows]

    def _images(self, tree: Tree, rows: Rows, card: DatasetCard, where: str) -> NDArray[np.uint8]:
        folder, places = posixpath.dirname(self.file), dict[str, int]()
        for place, row in enumerate(rows):
            name = posixpath.normpath(posixpath.join(folder, row[self.path].replace("\\", "/")))
            if name in places:
                raise BadInput(f"Rows {places[name] + 1} and {place + 1} of {where} name the same image, {row[self.path]}; keep one.")
            places[name] = place
        known = set(tree.files)
        for name, place in places.items():
            if name not in known:
                raise BadInput(f"Row {place + 1} of {where} names {rows[place][self.path]!r}, and there is no such file.")
        channels, height, width = card.shape
        images = np.empty((len(rows), height, width, channels), np.uint8)
        request = Request(card.shape, resize=self.images.resize)
        for name, content in tree.read_many(places):
            images[places[name]] = decode(content, request, f"{name} in {tree.path}")
        return images

    def _cut(self, rows: Rows, cut: Cut, where: str) -> dict[str, NDArray[np.int64]]:
        """Row numbers by split."""
        parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
        for place, row in enumerate(rows):
            word = row[self.split].lower() if self.split else "train"
            if word not in _SPLITS:
                raise BadInput(f"Row {place + 1} of {where} should be of train, val or test. Found {row[str(self.split)]!r}.")
            parts[_SPLITS[word]].append(place)
        index = {name: np.array(places, np.int64) for name, places in parts.items()}
        if not len(index["test"]):
            if self.images.test_fraction is None:
                raise BadInput(f"{where} names no test images; add `test_fraction` to `images` in the data card, or a column by `split`.")
            index["train"], index["test"] = self._divide(index["train"], self.images.test_fraction, self.images.order_seed)
        if not len(index["val"]):
            index["train"], index["val"] = self._divide(index["train"], cut.val_fraction, cut.seed)
        return index

    @staticmethod
    def _divide(places: NDArray[np.int64], fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        rest, part = cut_indices(places, fraction, seed)
        return places[rest], places[part]


def _columns(task: TaskCard) -> list[str]:
    if task.kind == "regression" and task.outputs > 1:
        return [f"{task.name}_{number}" for number in range(task.outputs)]
    return [task.name]


def _labels(task: TaskCard, rows: Sequence[Mapping[str, str]], where: str) -> NDArray[Any]:
    if task.kind == "classification":
        return np.array([_class(task, row[task.name], number, where) for number, row in enumerate(rows, start=1)], np.int64)
    if task.kind == "regression":
        cells = [[_number(row[name], name, number, where) for name in _columns(task)] for number, row in enumerate(rows, start=1)]
        return np.array(cells, np.float32)
    raise BadInput(
        f"A table holds classes and numbers, so task `{task.name}` should be a classification or a regression. Found {task.kind}."
    )


def _class(task: TaskCard, cell: str, number: int, where: str) -> int:
    if not cell:
        return task.ignore
    if task.classes:
        if cell not in task.classes:
            raise BadInput(f"Row {number} of {where} has the unknown class {cell!r} of `{task.name}`. {nearest(cell, task.classes)}")
        return task.classes.index(cell)
    if not cell.isdecimal() or int(cell) >= task.outputs:
        raise BadInput(f"Row {number} of {where} should have a class 0..{task.outputs - 1} of `{task.name}`. Found {cell!r}.")
    return int(cell)


def _number(cell: str, column: str, number: int, where: str) -> float:
    if not cell:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadInput(f"Row {number} of {where} should have a number in `{column}`, or nothing. Found {cell!r}.")
    return value
