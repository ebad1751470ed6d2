"""Composers make a dataset's three splits from the image sets that its card names. They are found
by the card's `source.kind`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from mtsearch.config.base import Model
from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.metrics import has_values
from mtsearch.config.registry import Registry
from mtsearch.config.validation import error_sentence
from mtsearch.data.find import ImageSource
from mtsearch.data.formats import LabelledImages


@dataclass(frozen=True)
class Side:
    """One composed split. ``images``: uint8 (N, C, H, W). ``labels``: one array (N, ...) per task,
    in the order of the card's tasks. ``members``: how many images each of several sets gave, behind
    each other; empty for one set."""

    images: NDArray[np.uint8]
    labels: tuple[NDArray[Any], ...]
    members: tuple[int, ...] = ()


@dataclass(frozen=True)
class Cut:
    """How the training images are cut into train and val: by this seed, with this share for val.
    With ``fold`` (0..4) all images are cut into the three splits of that fold, and the seed orders
    them."""

    seed: int
    val_fraction: float
    fold: int | None = None


class Composer(Model):
    """The settings of a card's `source`, and what they make of the images. Every field of type
    `ImageSource` is a set that must be found."""

    kind: str

    def sources(self) -> dict[str, ImageSource]:
        """The image sets that are needed, by field."""
        return {
            name: value
            for name in type(self).model_fields
            if isinstance(value := getattr(self, name), ImageSource)
        }

    def choose(
        self, found: dict[str, LabelledImages | None]
    ) -> tuple[dict[str, LabelledImages], list[str]]:
        """Of the sets that were found, by field, those to use; and what is missing, by title."""
        sources = self.sources()
        missing = [sources[name].title for name, images in found.items() if images is None]
        return {name: images for name, images in found.items() if images is not None}, list(
            dict.fromkeys(missing)
        )

    def beside(self, name: str, images: LabelledImages) -> list[str]:
        """The files of the set in this field that are read besides those of its format, such as a
        list of labels. When any of them changes, a store that was made of them is refused."""
        return []

    def ingredients(self) -> list[dict[str, Any]]:
        """What the result follows from besides the card itself and the files: other cards'
        contents."""
        return []

    @property
    def scalable(self) -> bool:
        """Whether the images may be made in another size than the card's."""
        sources = self.sources().values()
        return bool(sources) and all(source.resize is not None for source in sources)

    @property
    def folded(self) -> bool:
        """Whether `data.fold` has a meaning: a composer that cuts by ``cut.fold`` says so."""
        return False

    @abstractmethod
    def compose(
        self, card: DatasetCard, found: dict[str, LabelledImages], cut: Cut
    ) -> dict[str, Side]:
        """The splits "train", "val" and "test". Raises `BadInput` for a card or images that do not
        fit."""


C = TypeVar("C", bound=Composer)
COMPOSERS: Registry[str, type[Composer]] = Registry("composer")


def composer(kind: str) -> Callable[[type[C]], type[C]]:
    """Register the composer of `source.kind`."""

    return COMPOSERS.register(kind)


def read_source(card: DatasetCard) -> Composer:
    """The validated `source` of a card, as its composer."""
    return as_composer(f"of `{card.name}`", card.source, "source")


def as_composer(whose: str, source: dict[str, Any], path: str) -> Composer:
    """A validated source, which lies at this key path of a card."""
    kind = str(source.get("kind", ""))
    if kind not in COMPOSERS:
        raise BadInput(
            f"The data card {whose} has an unknown `{path}.kind`: `{kind}`."
            f" {COMPOSERS.suggest(kind)}"
        )
    try:
        return COMPOSERS[kind].model_validate(source)
    except ValidationError as error:
        raise BadInput(
            f"The data card {whose} is wrong: {error_sentence(error, source, path)}"
        ) from error


def need_tasks(card: DatasetCard, count: int) -> None:
    """Refuse a card that does not declare as many tasks as its composer labels."""
    if len(card.tasks) != count:
        names = ", ".join(task.name for task in card.tasks)
        raise BadInput(
            f"The data card of `{card.name}` should have {count} task(s), as its source makes that"
            f" many labels. Found {len(card.tasks)}: {names}."
        )


def check_classes(card: DatasetCard, task: TaskCard, labels: NDArray[Any], split: str) -> None:
    """Refuse labels of one split that are neither classes of their task nor its `ignore`."""
    known = labels[labels != task.ignore]
    if (
        not has_values(task.kind)
        and len(known)
        and not (known.min() >= 0 and known.max() < task.outputs)
    ):
        raise BadInput(
            f"The labels of task `{task.name}` of `{card.name}` should lie in"
            f" 0..{task.outputs - 1}. Found {known.min()}..{known.max()} in {split}; mend `outputs`"
            " in the data card."
        )


def channels_first(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, H, W, C) -> (N, C, H, W), contiguous."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
