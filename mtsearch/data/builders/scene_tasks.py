"""Labels for cards of scenes: a classification of the whole image, a segmentation of its pixels, or
both."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput
from mtsearch.data.rows import FileRows


def scene_labels(
    card: DatasetCard, scenes: NDArray[np.int64], masks: NDArray[np.uint8] | FileRows | None
) -> tuple[NDArray[Any] | FileRows, ...]:
    """One array per task, in the card's order: ``scenes`` (N,) for a classification, ``masks`` (N,
    H, W) for a segmentation."""
    kinds = [task.kind for task in card.tasks]
    known: dict[str, NDArray[Any] | FileRows] = (
        {"classification": scenes}
        if masks is None
        else {"classification": scenes, "segmentation": masks}
    )
    if not set(kinds) <= set(known) or len(set(kinds)) < len(kinds):
        raise BadInput(
            f"The data card of `{card.name}` should have at most one task of each of"
            f" {', '.join(known)}, the kinds that its source labels. Found {', '.join(kinds)}."
        )
    return tuple(known[kind] for kind in kinds)


def scene_classes(card: DatasetCard) -> tuple[str, ...]:
    """The class names of scenes and pixels by number: those of the first task, without an undefined
    class."""
    task = card.tasks[0]
    return tuple(name for number, name in enumerate(task.classes) if number != task.undefined)
