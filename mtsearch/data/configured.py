"""The card of a dataset with the settings of the data configuration applied: size, fold and
undefined pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data.array_inputs import ArrayInputs
from mtsearch.data.builders import read_source
from mtsearch.data.cards import load_card
from mtsearch.data.stored import StoredRows


def configured_card(name: str, data: DataConfig) -> DatasetCard:
    """The card with that name or path, with `data.size` as its shape and undefined pixels as a
    class if `data.undefined` is `class`.

    Raises:
        BadInput: the dataset does not support the size or the fold, or has no undefined pixels.
    """
    card = load_card(name)
    if data.undefined == "class":
        card = _with_undefined(card)
    if data.size is None and data.fold is None:
        return card
    source = read_source(card)
    if data.fold is not None and not source.folded:
        raise BadInput(
            f"`data.fold` should be left out with `{card.name}`, whose source of kind"
            f" {source.kind} has no folds. Found {data.fold}."
        )
    if data.size is None or card.shape[1:] == (data.size, data.size):
        return card
    if not source.scalable:
        raise BadInput(
            f"`data.size` should be left out with `{card.name}`, whose images of"
            f" {card.shape[1]}x{card.shape[2]} pixels cannot be scaled. Found"
            f" {data.size}."
        )
    return card.model_copy(update={"shape": (card.shape[0], data.size, data.size)})


def with_inputs(card: DatasetCard, inputs: dict[str, Any] | None) -> DatasetCard:
    """The card with the shape of the arrays of a store, given the entry `inputs` of its manifest;
    the card itself for images."""
    if inputs is None:
        return card
    return card.model_copy(update={"shape": ArrayInputs.from_dict(inputs).image_shape})


def with_targets(card: DatasetCard, labels: Mapping[str, Tensor | StoredRows]) -> DatasetCard:
    """The card with the mean and the standard deviation of the training labels of regressions
    whose card does not give them.

    Args:
        card: the card.
        labels: of the whole training split, by task; of a regression (N, outputs).
    """
    tasks = []
    for task in card.tasks:
        values = labels[task.name]
        if task.kind == "regression" and not task.target_std and isinstance(values, Tensor):
            rows = values.double().reshape(len(values), -1).numpy(force=True)
            if len(rows) and rows.shape[1] == task.outputs:
                mean, std = _moments(rows)
                task = task.model_copy(update={"target_mean": mean, "target_std": std})
        tasks.append(task)
    return card.model_copy(update={"tasks": tuple(tasks)})


def _moments(rows: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the known values of each column; 0 and 1 without any, and 1
    for equal values."""
    means, deviations = [], []
    for column in rows.T:
        known = column[~np.isnan(column)]
        equal = not len(known) or known.min() == known.max()
        means.append(float(known.mean()) if len(known) else 0.0)
        deviations.append(1.0 if equal else float(known.std()))
    return tuple(means), tuple(deviations)


def _with_undefined(card: DatasetCard) -> DatasetCard:
    """The card with one more class, the last, in each task that ignores its undefined pixels."""
    if not any(_ignores_undefined(task) for task in card.tasks):
        raise BadInput(
            f"`data.undefined` should be left out with `{card.name}`, whose card has no undefined"
            " label that is ignored."
        )
    return card.model_copy(
        update={
            "tasks": tuple(
                _trained(card, task) if _ignores_undefined(task) else task for task in card.tasks
            )
        }
    )


def _ignores_undefined(task: TaskCard) -> bool:
    return task.undefined is not None and task.undefined == task.ignore


def _trained(card: DatasetCard, task: TaskCard) -> TaskCard:
    if task.undefined != task.outputs:
        raise BadInput(
            f"`data.undefined` is class, but the undefined label of `{task.name}` of `{card.name}`"
            f" is {task.undefined}, which does not follow the {task.outputs} others;"
            " correct the data card."
        )
    classes = (*task.classes, "undefined") if task.classes else ()
    return task.model_copy(update={"outputs": task.outputs + 1, "ignore": -1, "classes": classes})
