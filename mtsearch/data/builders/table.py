"""One image set with a CSV that has a row per image and a column per task."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator

from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.metrics import DENSE
from mtsearch.data.builders.base import (
    DatasetBuilder,
    SplitArrays,
    SplitSpec,
    channels_first,
    dataset_builder,
)
from mtsearch.data.builders.table_files import dense_rows, label_files
from mtsearch.data.builders.table_labels import label_columns, table_labels
from mtsearch.data.builders.table_splits import complete_splits, named_parts
from mtsearch.data.decoding import is_image
from mtsearch.data.formats import LabelledImages, Request
from mtsearch.data.formats.pictures import image_rows
from mtsearch.data.remarks import remark
from mtsearch.data.sources import ImageSource
from mtsearch.data.tables import Rows, read_table, refuse
from mtsearch.data.trees import Tree


@dataset_builder("table")
class Table(DatasetBuilder):
    """The images that the rows of a CSV name, with labels from the columns named like the tasks.

    A classification reads the class name, or the class number if the card names no classes, and so
    does an ordinal, whose classes are in their order. A multilabel reads tags with `;` or `|`
    between them, and `-` for no tag. A regression reads numbers from the column named like the
    task, or from `<task>_0`, `<task>_1`, ... if it has several outputs. A segmentation, a depth,
    normals and a restoration read names of files, relative to the CSV: images, or arrays of numpy
    (`mtsearch.data.dense`). `column` of a task names another column. An empty cell is a missing
    label. All mistakes of a table are reported at once.

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
            if f"/{posixpath.normpath(file)}".endswith(f"/{self.file}") or file.endswith(".npy")
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
            *(name for task in card.tasks for name in label_columns(task)),
        )
        refuse(
            [
                f"{where} has no column `{column}`. {nearest(column, names)}"
                for column in columns
                if column not in names
            ]
        )
        wrong: list[str] = []
        folder = posixpath.dirname(file)
        parts = named_parts(rows, self.split, where, wrong)
        places = self._places(rows, folder, files, where, wrong)
        dense = {
            task.name: label_files(task, rows, folder, files, where, wrong)
            for task in card.tasks
            if task.kind in DENSE
        }
        plain = {
            task.name: table_labels(task, rows, where, wrong)
            for task in card.tasks
            if task.kind not in DENSE
        }
        refuse(wrong)
        used = {*places, *(name for names in dense.values() for name in names if name)}
        origin = [f"of row {number} of {where}" for number in rows]
        labels = [
            plain[task.name]
            if task.name in plain
            else dense_rows(tree, task, dense[task.name], list(places), self.images, card, origin)
            for task in card.tasks
        ]
        images = self.images
        index = complete_splits(
            parts, spec, images.test_fraction, images.order_seed, where, "images"
        )
        unlisted = [name for name in tree.files if is_image(name) and name not in used]
        if unlisted:
            remark(f"images that {file} does not name were left out", unlisted[0], len(unlisted))
        request = Request(card.image_shape, resize=images.resize, lazy=True)
        pictures = image_rows(tree, list(places), request, origin)
        return {
            name: SplitArrays(
                channels_first(pictures[rest]), tuple(values[rest] for values in labels)
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
