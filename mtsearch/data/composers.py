"""Former names of dataset builders, for plug-ins that import them."""

from mtsearch.data.builders import DatasetBuilder as Composer
from mtsearch.data.builders import SplitArrays as Side
from mtsearch.data.builders import SplitSpec as Cut
from mtsearch.data.builders import dataset_builder as composer

__all__ = ["Composer", "Cut", "Side", "composer"]
