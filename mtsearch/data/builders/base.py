"""Dataset builders: the three splits of a dataset from the image sets that its card names.

The card's `source.kind` names the builder.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from mtsearch.config.base import Model
from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.metrics import has_values
from mtsearch.config.registry import Registry
from mtsearch.config.validation import error_sentence
from mtsearch.data.formats import LabelledImages
from mtsearch.data.rows import FileRows
from mtsearch.data.sources import ImageSource


@dataclass(frozen=True)
class SplitArrays:
    """The arrays of one split.

    Attributes:
        images: uint8 (N, C, H, W), in memory or decoded from files when they are written; or
            float32 (N, ...), inputs that are not images.
        labels: one array (N, ...) for each task, in the order of the card's tasks, as the images.
        members: number of images of each member of a disjoint dataset, in their order; empty for a
            dataset of one set.
        inputs: how arrays are made from files, as `ArrayInputs.as_dict`; None for images.
    """

    images: NDArray[Any] | FileRows
    labels: tuple[NDArray[Any] | FileRows, ...]
    members: tuple[int, ...] = ()
    inputs: dict[str, Any] | None = None


@dataclass(frozen=True)
class SplitSpec:
    """How a dataset is split.

    Attributes:
        seed: seed of the split of the training images into train and val.
        val_fraction: share of the training images that goes to val, in (0, 1).
        fold: 0..4 splits all images into train, val and test of that fold, each in an order drawn
            from `seed`; None keeps the test images of the files.
    """

    seed: int
    val_fraction: float
    fold: int | None = None


class DatasetBuilder(Model):
    """The settings of a card's `source`, and the method that builds the splits from them.

    Every field of type `ImageSource` is an image set that must exist below the data root.
    """

    kind: str

    def sources(self) -> dict[str, ImageSource]:
        """The image sets that the dataset needs, by field."""
        return {
            name: value
            for name in type(self).model_fields
            if isinstance(value := getattr(self, name), ImageSource)
        }

    def choose(
        self, found: dict[str, LabelledImages | None]
    ) -> tuple[dict[str, LabelledImages], list[str]]:
        """Select the image sets to use.

        Args:
            found: the images of each field, None where they were not found.

        Returns:
            The images to use by field, and the titles of the missing sets.
        """
        sources = self.sources()
        missing = [sources[name].title for name, images in found.items() if images is None]
        return {name: images for name, images in found.items() if images is not None}, list(
            dict.fromkeys(missing)
        )

    def beside(self, name: str, images: LabelledImages) -> list[str]:
        """Files of the set in field `name` that are read in addition to those of its format, such
        as a table of labels. A store is refused when one of them has changed."""
        return []

    def ingredients(self) -> list[dict[str, Any]]:
        """Further inputs that the result depends on, besides the card and the files: contents of
        other cards."""
        return []

    @property
    def scalable(self) -> bool:
        """Whether `data.size` may differ from the card's size."""
        sources = self.sources().values()
        return bool(sources) and all(source.resize is not None for source in sources)

    @property
    def reads_shape(self) -> bool:
        """Whether the shape of an example is that of the data, not that of the card."""
        return False

    @property
    def standardises(self) -> bool:
        """Whether regressions are trained on standardised targets."""
        return True

    @property
    def folded(self) -> bool:
        """Whether the builder supports `data.fold` (it reads ``spec.fold``)."""
        return False

    @abstractmethod
    def compose(
        self, card: DatasetCard, found: dict[str, LabelledImages], spec: SplitSpec
    ) -> dict[str, SplitArrays]:
        """Build the splits.

        Args:
            card: the dataset's card.
            found: the image sets by field.
            spec: how to split.

        Returns:
            The splits "train", "val" and "test".

        Raises:
            BadInput: the images do not fit the card.
        """


C = TypeVar("C", bound=DatasetBuilder)
DATASET_BUILDERS: Registry[str, type[DatasetBuilder]] = Registry("dataset builder")


def dataset_builder(kind: str) -> Callable[[type[C]], type[C]]:
    """Register the builder of `source.kind`."""

    return DATASET_BUILDERS.register(kind)


def read_source(card: DatasetCard) -> DatasetBuilder:
    """The validated `source` of a card, as its builder."""
    return as_builder(f"of `{card.name}`", card.source, "source")


def as_builder(whose: str, source: dict[str, Any], path: str) -> DatasetBuilder:
    """The dataset builder of a `source` block.

    Args:
        whose: names the card in messages.
        source: the block.
        path: its key path in the card.
    """
    kind = str(source.get("kind", ""))
    if kind not in DATASET_BUILDERS:
        raise BadInput(
            f"The data card {whose} has an unknown `{path}.kind`: `{kind}`."
            f" {DATASET_BUILDERS.suggest(kind)}"
        )
    try:
        return DATASET_BUILDERS[kind].model_validate(source)
    except ValidationError as error:
        raise BadInput(
            f"The data card {whose} is wrong: {error_sentence(error, source, path)}"
        ) from error


def need_tasks(card: DatasetCard, count: int) -> None:
    """Raise `BadInput` unless the card declares `count` tasks."""
    if len(card.tasks) != count:
        names = ", ".join(task.name for task in card.tasks)
        raise BadInput(
            f"The data card of `{card.name}` should have {count} task(s), as its source provides"
            f" that many labels. Found {len(card.tasks)}: {names}."
        )


def check_classes(card: DatasetCard, task: TaskCard, labels: NDArray[Any], split: str) -> None:
    """Raise `BadInput` for labels of one split that are neither a class of the task nor its
    `ignore`."""
    known = labels[labels != task.ignore]
    if (
        not has_values(task.kind)
        and len(known)
        and not (known.min() >= 0 and known.max() < task.outputs)
    ):
        raise BadInput(
            f"The labels of task `{task.name}` of `{card.name}` should lie in"
            f" 0..{task.outputs - 1}. Found {known.min()}..{known.max()} in {split}; correct"
            " `outputs` in the data card."
        )


@overload
def channels_first(images: NDArray[np.uint8]) -> NDArray[np.uint8]: ...


@overload
def channels_first(images: NDArray[np.uint8] | FileRows) -> NDArray[np.uint8] | FileRows: ...


def channels_first(images: NDArray[np.uint8] | FileRows) -> NDArray[np.uint8] | FileRows:
    """(N, H, W, C) -> (N, C, H, W), contiguous."""
    if isinstance(images, FileRows):
        return images.channels_first()
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
