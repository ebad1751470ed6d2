"""Scenes drawn when the dataset is prepared, without files. The tasks are the most frequent cover,
the cover of every pixel, or both."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.data.builders.base import (
    DatasetBuilder,
    SplitArrays,
    SplitSpec,
    channels_first,
    dataset_builder,
)
from mtsearch.data.builders.fitting import fit_images, fit_labels
from mtsearch.data.builders.scene_tasks import scene_classes, scene_labels
from mtsearch.data.drawing import SIZE, draw_scenes
from mtsearch.data.folds import rotation
from mtsearch.data.formats import LabelledImages
from mtsearch.data.splits import order, split_indices
from mtsearch.data.textures import COVERS


@dataset_builder("drawn_scenes")
class DrawnScenes(DatasetBuilder):
    """``count`` scenes drawn from ``seed``, whose covers are the classes of the card's tasks."""

    kind: Literal["drawn_scenes"] = "drawn_scenes"
    count: int = Field(gt=0)
    seed: int = Field(0, ge=0)
    test_fraction: float = Field(0.2, gt=0, lt=1)
    folds: bool = False

    @property
    def scalable(self) -> bool:
        return True

    @property
    def folded(self) -> bool:
        return self.folds

    def ingredients(self) -> list[dict[str, Any]]:
        # Distinguishes stores from those of an earlier version, whose folds were ordered class by
        # class, so that a limit kept the first classes only.
        return [{"folds": "ordered by the seed"}] if self.folds else []

    def compose(
        self, card: DatasetCard, found: dict[str, LabelledImages], spec: SplitSpec
    ) -> dict[str, SplitArrays]:
        covers = scene_classes(card)
        unknown = sorted(set(covers) - set(COVERS))
        if unknown or len(covers) < 3:
            hint = nearest(unknown[0], COVERS) if unknown else "It needs three or more."
            raise BadInput(
                f"The data card of `{card.name}` should have covers as `classes`. Found"
                f" {', '.join(covers) or 'none'}. {hint}"
            )
        scenes = draw_scenes(covers, self.count, self.seed)
        images = fit_images(channels_first(scenes.images), card.image_shape)
        masks = fit_labels(scenes.masks, (SIZE, SIZE), card.image_shape[1:])
        if spec.fold is not None:
            folds = rotation(scenes.labels, spec.fold, self.seed)
            parts = {
                name: part[order(len(part), spec.seed, number)]
                for number, (name, part) in enumerate(folds.items())
            }
        else:
            pool, test = split_indices(scenes.labels, self.test_fraction, self.seed)
            train, val = split_indices(scenes.labels[pool], spec.val_fraction, spec.seed)
            parts = {"train": pool[train], "val": pool[val], "test": test}
        return {
            name: SplitArrays(images[part], scene_labels(card, scenes.labels[part], masks[part]))
            for name, part in parts.items()
        }
