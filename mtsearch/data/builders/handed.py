"""Examples that were handed over from Python as data loaders (`mtsearch.data.handed`)."""

from __future__ import annotations

from typing import Literal

from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput
from mtsearch.config.held import PREFIX, all_held
from mtsearch.data.builders.base import (
    DatasetBuilder,
    SplitArrays,
    SplitSpec,
    dataset_builder,
)
from mtsearch.data.formats import LabelledImages


@dataset_builder("handed")
class Handed(DatasetBuilder):
    """The arrays with this checksum, which this process has read from loaders."""

    kind: Literal["handed"] = "handed"
    checksum: str

    @property
    def standardises(self) -> bool:
        return False  # the user's own network computes the labels themselves

    def compose(
        self, card: DatasetCard, found: dict[str, LabelledImages], spec: SplitSpec
    ) -> dict[str, SplitArrays]:
        arrays: dict[str, SplitArrays] | None = all_held().get(handed_key(self.checksum))
        if arrays is None:
            raise BadInput(
                f"the store of `{card.name}` is missing, and its examples were given from Python as"
                " data loaders. Give them again, as `data=` and `tasks=` of `mtsearch.resume`, and"
                " leave the other settings of `data` but `limit`, `load` and `workers` out."
            )
        return arrays


def handed_key(checksum: str) -> str:
    """The name under which the arrays with this checksum are held."""
    return f"{PREFIX}data-{checksum}"
