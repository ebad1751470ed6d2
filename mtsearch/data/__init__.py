"""Datasets: cards, formats, composition, stores, and batches on the device."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtsearch.data.batches import Batches as Batches
    from mtsearch.data.cards import list_cards as list_cards
    from mtsearch.data.cards import load_card as load_card
    from mtsearch.data.devices import device_of as device_of
    from mtsearch.data.inventory import check_sources as check_sources
    from mtsearch.data.opening import open_dataset as open_dataset
    from mtsearch.data.opening import open_labels as open_labels
    from mtsearch.data.opening import prepare as prepare
    from mtsearch.data.opening import resolve as resolve
    from mtsearch.data.types import SPLITS as SPLITS
    from mtsearch.data.types import Dataset as Dataset
    from mtsearch.data.types import Resolved as Resolved
    from mtsearch.data.types import Split as Split

_PUBLIC = {
    "SPLITS": "types",
    "Batches": "batches",
    "Dataset": "types",
    "Resolved": "types",
    "Split": "types",
    "check_sources": "inventory",
    "device_of": "devices",
    "list_cards": "cards",
    "load_card": "cards",
    "open_dataset": "opening",
    "open_labels": "opening",
    "prepare": "opening",
    "resolve": "opening",
}
"""The module of each public name. It is imported at its first use, because the processes that
decode images need no torch."""

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module `mtsearch.data` has no attribute `{name}`")
    value = getattr(importlib.import_module(f"mtsearch.data.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value
