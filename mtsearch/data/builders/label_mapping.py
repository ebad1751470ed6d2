"""Conversion of the labels of a disjoint dataset's members to its own tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.metrics import has_values


def map_labels(
    card: DatasetCard,
    ours: TaskCard,
    theirs: TaskCard,
    values: NDArray[Any],
    classes: dict[str, str | int] | None,
) -> NDArray[Any]:
    """Convert labels of a member's task to labels of the disjoint dataset's task.

    Labels that are missing, or of classes that are left out, become `ours.ignore`. Where the member
    ignores undefined pixels and `ours.undefined` is a class, these pixels get that class.

    Args:
        card: the disjoint dataset's card, for messages.
        ours: its task.
        theirs: the member's task.
        values: the member's labels, of any shape.
        classes: class of ours (name or number) by the name of each class of theirs; None maps
            classes by name where both cards have names, else by number.

    Raises:
        BadInput: the kinds or classes of the two tasks do not fit.
    """
    if ours.kind != theirs.kind:
        raise BadInput(
            f"The task `{ours.name}` of `{card.name}` is a {ours.kind}, but a member gives it"
            f" `{theirs.name}`, a {theirs.kind}."
        )
    if has_values(ours.kind):
        return values
    # The last entry is for missing labels.
    numbers = np.full(theirs.outputs + 1, ours.ignore, np.int64)
    numbers[:-1] = _class_numbers(card, ours, theirs, classes)
    if _adds_undefined(ours, theirs):
        assert ours.undefined is not None
        numbers[-1] = ours.undefined
    return numbers[np.where(values == theirs.ignore, theirs.outputs, values)]


def _adds_undefined(ours: TaskCard, theirs: TaskCard) -> bool:
    """Whether pixels that the member ignores as undefined are a class of the dataset's task."""
    return (
        theirs.undefined is not None
        and theirs.undefined == theirs.ignore
        and ours.undefined not in (None, ours.ignore)
    )


def _class_numbers(
    card: DatasetCard, ours: TaskCard, theirs: TaskCard, classes: dict[str, str | int] | None
) -> list[int]:
    """The dataset's class number for each class of the member."""
    where = f"The task `{ours.name}` of `{card.name}`"
    if classes is None:
        if not (ours.classes and theirs.classes):
            numbers = [
                number
                for number in range(ours.outputs)
                if number != ours.undefined or not _adds_undefined(ours, theirs)
            ]
            if len(numbers) != theirs.outputs:
                raise BadInput(
                    f"{where} has {len(numbers)} classes, but a member gives it {theirs.outputs};"
                    " name the classes in both cards, or map them in the member's `classes`."
                )
            return numbers
        unknown = next((name for name in theirs.classes if name not in ours.classes), None)
        if unknown is not None:
            raise BadInput(
                f"{where} has no class `{unknown}`, which a member labels; map it, or leave it out,"
                " in the member's `classes`."
            )
        return [ours.classes.index(name) for name in theirs.classes]
    for name, target in classes.items():
        if name not in theirs.classes:
            raise BadInput(
                f"{where}: a member's `classes` names a class it lacks: `{name}`."
                f" {nearest(name, theirs.classes)}"
            )
        if target not in ours.classes and not (
            isinstance(target, int) and 0 <= target < ours.outputs
        ):
            raise BadInput(
                f"{where}: a member's `classes` maps `{name}` to `{target}`, which is not a class"
                " of the task."
            )
    to = {
        name: target if isinstance(target, int) else ours.classes.index(target)
        for name, target in classes.items()
    }
    return [to.get(name, ours.ignore) for name in theirs.classes]


def any_labelled(
    ours: dict[str, TaskCard], labels: dict[str, NDArray[Any]], count: int
) -> NDArray[np.bool_]:
    """Which images (count,) have a label of at least one task."""
    known = np.zeros(count, bool)
    for name, values in labels.items():
        flat = values.reshape(count, -1)
        known |= (
            ~np.isnan(flat)
            if np.issubdtype(values.dtype, np.floating)
            else flat != ours[name].ignore
        ).any(1)
    return known
