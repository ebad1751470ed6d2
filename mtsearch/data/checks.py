"""Checks of built splits against their card: shapes, classes and labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.metrics import DENSE, has_values
from mtsearch.data.builders import SplitArrays, check_classes
from mtsearch.data.remarks import remark


def check_split(card: DatasetCard, name: str, arrays: SplitArrays) -> None:
    """Raise `BadInput` where the arrays of a split do not fit the card."""
    if not len(arrays.images) or arrays.images.shape[1:] != card.shape:
        raise BadInput(
            f"The {name} split of `{card.name}` should contain images of shape {card.shape}. Found"
            f" {arrays.images.shape}; correct the data card."
        )
    for task, labels in zip(card.tasks, arrays.labels, strict=True):
        images = labels.dtype == np.uint8 and has_values(task.kind)
        size = tuple(card.shape[1:])
        shape = (task.outputs, *size) if has_values(task.kind) else size
        if (task.kind in DENSE or images) and labels.shape[1:] != shape:
            raise BadInput(
                f"The labels of task `{task.name}` of `{card.name}` should have shape {shape}, as"
                f" large as the images. Found {labels.shape[1:]} in {name}; correct the data card."
            )
        if isinstance(labels, np.ndarray):  # others are checked while they are decoded
            check_classes(card, task, labels, name)


def check_labels(card: DatasetCard, counts: dict[str, Any]) -> None:
    """Check that every task has labels to learn from, and to be measured on.

    Args:
        card: the dataset's card.
        counts: by task and split, as returned by `count_labels`.

    Raises:
        BadInput: a task has no label, or a segmentation has undefined pixels alone, in the training
            or validation split; a classification has only one class in the training split; a class
            of a classification has no image in any split.
    """
    for task in card.tasks:
        splits = counts[task.name]
        for name in ("train", "val"):
            if not _measurable(task, splits[name]):
                split = "training" if name == "train" else "validation"
                raise BadInput(
                    f"The task `{task.name}` of `{card.name}` has no label in the {split} split;"
                    " add labels or remove the task from the data card."
                )
        if not _measurable(task, splits["test"]):
            remark("tasks without a label in the test split, which a search needs", task.name)
        if task.kind in ("classification", "ordinal"):
            _check_classification(card, task, splits)


def _measurable(task: TaskCard, split: dict[str, Any]) -> bool:
    """Whether a split has labels that metrics are computed from; undefined pixels are none."""
    labels, classes = split["labels"], split.get("classes", ())
    if task.undefined is not None and task.undefined < len(classes):
        labels -= classes[task.undefined]
    return bool(labels > 0)


def _check_classification(card: DatasetCard, task: TaskCard, splits: dict[str, Any]) -> None:
    present = {
        name: [number for number, count in enumerate(split["classes"]) if count]
        for name, split in splits.items()
    }
    found = {number for numbers in present.values() for number in numbers}
    absent = [number for number in range(task.outputs) if number not in found]
    if absent and card.source.get("kind") != "disjoint":  # whose members may leave classes out
        raise BadInput(
            f"The class {_class_name(task, absent[0])} of task `{task.name}` of `{card.name}` has"
            " no examples; add some or remove the class from the data card."
        )
    if len(present["train"]) < 2:
        raise BadInput(
            f"The {task.kind} `{task.name}` of `{card.name}` should have two classes or more in"
            f" the training split. Found {_class_name(task, present['train'][0])} alone; add"
            " examples of other classes or remove the task from the data card."
        )
    for name, numbers in present.items():
        what = f"the {name} split of task `{task.name}`"
        if len(numbers) == 1:
            remark(f"{what} has one class", _class_name(task, numbers[0]))
        elif missing := [n for n in range(task.outputs) if n not in numbers]:
            remark(
                f"classes without examples in {what}", _class_name(task, missing[0]), len(missing)
            )


def _class_name(task: TaskCard, number: int) -> str:
    return f"`{task.classes[number]}`" if task.classes else str(number)
