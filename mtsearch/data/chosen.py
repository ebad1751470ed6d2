"""The card of a dataset as the configuration wants it: in its size, and with a fold only where there are folds."""

from __future__ import annotations

from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data.cards import load_card
from mtsearch.data.composers import read_source


def chosen_card(name: str, data: DataConfig) -> DatasetCard:
    """The card of that name or path, its shape replaced by `data.size`.

    Raises `BadInput` for a size or fold that the dataset cannot have.
    """
    card = load_card(name)
    if data.size is None and data.fold is None:
        return card
    source = read_source(card)
    if data.fold is not None and not source.folded:
        raise BadInput(f"`data.fold` should be left out with `{card.name}`, which is not divided into folds. Found {data.fold}.")
    if data.size is None or card.shape[1:] == (data.size, data.size):
        return card
    if not source.scalable:
        raise BadInput(
            f"`data.size` should be left out with `{card.name}`, whose images of {card.shape[1]}x{card.shape[2]} pixels its card does not "
            f"let scale. Found {data.size}."
        )
    return card.model_copy(update={"shape": (card.shape[0], data.size, data.size)})
