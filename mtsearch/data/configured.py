"""The card of a dataset as the configuration wants it: in its size, with a fold only where there
are folds, with or without a class of undefined pixels."""

from __future__ import annotations

from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data.builders import read_source
from mtsearch.data.cards import load_card


def configured_card(name: str, data: DataConfig) -> DatasetCard:
    """The card of that name or path, its shape replaced by `data.size`, undefined pixels made a
    class where `data.undefined` asks for it.

    Raises `BadInput` for a size or fold that the dataset cannot have, and where there is nothing
    undefined.
    """
    card = load_card(name)
    if data.undefined == "class":
        card = _with_undefined(card)
    if data.size is None and data.fold is None:
        return card
    source = read_source(card)
    if data.fold is not None and not source.folded:
        raise BadInput(
            f"`data.fold` should be left out with `{card.name}`, which is not divided into folds,"
            f" its source being of kind {source.kind}. Found {data.fold}."
        )
    if data.size is None or card.shape[1:] == (data.size, data.size):
        return card
    if not source.scalable:
        raise BadInput(
            f"`data.size` should be left out with `{card.name}`, whose images of"
            f" {card.shape[1]}x{card.shape[2]} pixels its card does not let scale. Found"
            f" {data.size}."
        )
    return card.model_copy(update={"shape": (card.shape[0], data.size, data.size)})


def _with_undefined(card: DatasetCard) -> DatasetCard:
    """The card with one more class in the tasks whose undefined pixels were ignored, which by its
    number follows the others."""
    if not any(_ignores_undefined(task) for task in card.tasks):
        raise BadInput(
            f"`data.undefined` should be left out with `{card.name}`, whose card names no undefined"
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
            f" is {task.undefined}, which does not follow the {task.outputs} others; mend the data"
            " card."
        )
    classes = (*task.classes, "undefined") if task.classes else ()
    return task.model_copy(update={"outputs": task.outputs + 1, "ignore": -1, "classes": classes})
