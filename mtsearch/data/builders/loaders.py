"""Examples that were given from Python as data loaders (`mtsearch.data.own_loaders`)."""

from __future__ import annotations

from typing import Literal

from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput
from mtsearch.config.objects import PREFIX, all_objects
from mtsearch.data.builders.base import (
    DatasetBuilder,
    SplitArrays,
    SplitSpec,
    dataset_builder,
)
from mtsearch.data.formats import LabelledImages


@dataset_builder("loaders")
class Loaders(DatasetBuilder):
    """The arrays with this checksum, which this process has read from loaders."""

    kind: Literal["loaders"] = "loaders"
    checksum: str

    @property
    def standardises(self) -> bool:
        return False  # the user's own network computes the labels themselves

    def compose(
        self, card: DatasetCard, found: dict[str, LabelledImages], spec: SplitSpec
    ) -> dict[str, SplitArrays]:
        arrays: dict[str, SplitArrays] | None = all_objects().get(arrays_key(self.checksum))
        if arrays is None:
            raise BadInput(
                f"the store of `{card.name}` is missing, and its examples were given from Python as"
                " data loaders. Give them again, as `data=` and `tasks=` of `mtsearch.resume`, and"
                " leave the other settings of `data` but `limit`, `load` and `workers` out."
            )
        return arrays


def arrays_key(checksum: str) -> str:
    """The name of the arrays with this checksum in `mtsearch.config.objects`."""
    return f"{PREFIX}data-{checksum}"
