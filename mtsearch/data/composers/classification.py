"""One set of images, one task: the class of the image."""

from __future__ import annotations

from typing import Literal

from mtsearch.config.cards import DatasetCard
from mtsearch.data.composers.base import Composer, Cut, Side, channels_first, composer, need_tasks
from mtsearch.data.find import ImageSource, read_sides
from mtsearch.data.folds import read_fold
from mtsearch.data.formats import LabelledImages
from mtsearch.data.splits import cut as cut_indices


@composer("classification")
class Classification(Composer):
    """The images as they are."""

    kind: Literal["classification"] = "classification"
    images: ImageSource

    @property
    def folded(self) -> bool:
        return self.images.folds

    def compose(
        self, card: DatasetCard, found: dict[str, LabelledImages], cut: Cut
    ) -> dict[str, Side]:
        need_tasks(card, 1)
        if cut.fold is not None:
            parts = read_fold(
                found["images"], self.images, card.shape, card.tasks[0].classes, cut.fold, cut.seed
            )
            return {
                name: Side(channels_first(part.images), (part.labels,))
                for name, part in parts.items()
            }
        pool, test = read_sides(found["images"], self.images, card.shape, card.tasks[0].classes)
        train, val = cut_indices(pool.labels, cut.val_fraction, cut.seed, pool.groups)
        parts = {"train": pool.take(train), "val": pool.take(val), "test": test}
        return {
            name: Side(channels_first(part.images), (part.labels,)) for name, part in parts.items()
        }
