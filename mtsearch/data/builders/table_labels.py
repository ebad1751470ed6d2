"""Labels from the cells of a table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.metrics import DENSE
from mtsearch.data.array_inputs import LARGEST, number_in
from mtsearch.data.tables import Rows, split_tags


def label_columns(task: TaskCard) -> list[str]:
    """The columns of a table that contain the labels of a task."""
    column = task.column or task.name
    if task.kind == "regression" and task.outputs > 1:
        return [f"{column}_{number}" for number in range(task.outputs)]
    return [column]


def table_labels(task: TaskCard, rows: Rows, where: str, wrong: list[str]) -> NDArray[Any]:
    """The labels of a task. Mistakes are added to `wrong`."""
    columns = label_columns(task)

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
        f"A table contains classes, tags, numbers and names of files, so task `{task.name}` should"
        f" be a classification, a multilabel, an ordinal, a regression, or one of"
        f" {', '.join(DENSE)}. Found {task.kind}."
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
    value = number_in(cell)
    if value is None or abs(value) > LARGEST:
        raise BadInput(
            f"Row {number} of {where} should have a number in `{column}`, or nothing. Found"
            f" {cell!r}."
        )
    return value
