"""One image set with one task, the class of the image."""

from __future__ import annotations

from typing import Literal

from mtsearch.config.cards import DatasetCard
from mtsearch.data.builders.base import (
    DatasetBuilder,
    SplitArrays,
    SplitSpec,
    channels_first,
    dataset_builder,
    need_tasks,
)
from mtsearch.data.folds import read_fold
from mtsearch.data.formats import LabelledImages
from mtsearch.data.sources import ImageSource, read_train_test
from mtsearch.data.splits import split_indices


@dataset_builder("classification")
class Classification(DatasetBuilder):
    """The images of one set, unchanged."""

    kind: Literal["classification"] = "classification"
    images: ImageSource

    @property
    def folded(self) -> bool:
        return self.images.folds

    def compose(
        self, card: DatasetCard, found: dict[str, LabelledImages], spec: SplitSpec
    ) -> dict[str, SplitArrays]:
        need_tasks(card, 1)
        if spec.fold is not None:
            parts = read_fold(
                found["images"],
                self.images,
                card.image_shape,
                card.tasks[0].classes,
                spec.fold,
                spec.seed,
            )
            return {
                name: SplitArrays(channels_first(part.images), (part.labels,))
                for name, part in parts.items()
            }
        pool, test = read_train_test(
            found["images"], self.images, card.image_shape, card.tasks[0].classes, lazy=True
        )
        train, val = split_indices(pool.labels, spec.val_fraction, spec.seed, pool.groups)
        parts = {"train": pool.take(train), "val": pool.take(val), "test": test}
        return {
            name: SplitArrays(channels_first(part.images), (part.labels,))
            for name, part in parts.items()
        }
