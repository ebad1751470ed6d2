"""Datasets: cards, formats, composition, stores, and batches on the device."""

from mtsearch.data.batches import Batches
from mtsearch.data.cards import list_cards, load_card
from mtsearch.data.devices import device_of
from mtsearch.data.inventory import check_sources
from mtsearch.data.opening import open_dataset, open_labels, prepare, resolve
from mtsearch.data.types import SPLITS, Dataset, Resolved, Split

__all__ = [
    "SPLITS",
    "Batches",
    "Dataset",
    "Resolved",
    "Split",
    "check_sources",
    "device_of",
    "list_cards",
    "load_card",
    "open_dataset",
    "open_labels",
    "prepare",
    "resolve",
]
