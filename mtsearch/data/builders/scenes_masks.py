"""Scenes with the class of every pixel (GID-MTL): the tasks are the class of the scene, the classes
of its pixels, or both."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput
from mtsearch.data.builders.base import (
    DatasetBuilder,
    SplitArrays,
    SplitSpec,
    channels_first,
    dataset_builder,
)
from mtsearch.data.builders.scene_tasks import scene_classes, scene_labels
from mtsearch.data.formats import LabelledImages
from mtsearch.data.overlap import Overlap, split_groups
from mtsearch.data.sources import ImageSource, read_all


@dataset_builder("scenes_masks")
class ScenesMasks(DatasetBuilder):
    """Images and masks from `image/<class>/<file>` and `label_gray/<class>/<file>`.

    The card's classes are the folder names, in the order of their numbers in the masks. ``overlap``
    names groups of images that are never split; without it every image may be assigned alone.
    """

    kind: Literal["scenes_masks"] = "scenes_masks"
    images: ImageSource
    overlap: Overlap | None = None

    def ingredients(self) -> list[dict[str, Any]]:
        groups = json.dumps(self.overlap.groups()) if self.overlap else ""
        return [{"overlap": hashlib.sha256(groups.encode()).hexdigest()}] if groups else []

    def compose(
        self, card: DatasetCard, found: dict[str, LabelledImages], spec: SplitSpec
    ) -> dict[str, SplitArrays]:
        if self.images.test_fraction is None:
            raise BadInput(
                f"The data card of `{card.name}` should give its images a `test_fraction`, as their"
                " files have no test split."
            )
        images, names = read_all(
            found["images"], self.images, card.image_shape, scene_classes(card), lazy=True
        )
        if images.masks is None:
            raise BadInput(
                f"The images of `{card.name}` in {found['images'].tree.path} have no folder"
                " `label_gray` with their masks."
            )
        groups = self.overlap.groups() if self.overlap else []
        known = [f"{self.overlap.set}/{name}" for name in names] if self.overlap else list(names)
        rest, test, tested = split_groups(
            known, images.labels, groups, self.images.test_fraction, self.images.order_seed
        )
        pool = [known[i] for i in rest]
        train, val, _ = split_groups(
            pool, images.labels[rest], groups, spec.val_fraction, spec.seed, tested
        )
        parts = {
            "train": images.take(rest[train]),
            "val": images.take(rest[val]),
            "test": images.take(test),
        }
        return {
            name: SplitArrays(
                channels_first(part.images), scene_labels(card, part.labels, part.masks)
            )
            for name, part in parts.items()
        }
