"""The label of a dataset, which describes the data actually used, for banners and tables."""

from __future__ import annotations

from mtsearch.config.cards import DatasetCard
from mtsearch.data.builders import read_source
from mtsearch.data.folds import fold_lists
from mtsearch.data.formats import LabelledImages


def source_titles(card: DatasetCard, found: dict[str, LabelledImages]) -> dict[str, str]:
    """The titles of the image sets by field, with a note if a lossless set is found as JPEG."""
    sources = read_source(card).sources()
    return {
        name: sources[name].title + (" (JPEG)" if images.lossy and sources[name].lossless else "")
        for name, images in found.items()
    }


def dataset_label(card: DatasetCard, found: dict[str, LabelledImages], fold: int | None) -> str:
    """The name of the dataset, the image sets it is built from, and its fold."""
    part = "" if fold is None else f", fold {fold} {_origin_of_folds(card, found)}"
    titles = " and ".join(dict.fromkeys(source_titles(card, found).values()))
    if card.embedded:
        return f"{card.name} (embedded sample{'' if found else ', procedural'}{part})"
    return f"{card.name}{f' from {titles}' if titles else ''}{part}"


def _origin_of_folds(card: DatasetCard, found: dict[str, LabelledImages]) -> str:
    sources = read_source(card).sources()
    lists = [
        fold_lists(images, sources[name]) for name, images in found.items() if sources[name].folds
    ] or [None]
    return " and ".join(
        dict.fromkeys(
            f"as listed in {where.path.name}" if where else "of a seeded rotation"
            for where in lists
        )
    )
