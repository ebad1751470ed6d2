"""Which sources of a data card are images."""

from mtsearch.config.cards import _IMAGES
from mtsearch.data.builders.base import DATASET_BUILDERS


def test_every_builder_of_images_is_known_to_the_card():
    builders = {name: DATASET_BUILDERS[name].__module__ for name in DATASET_BUILDERS}
    shipped = {name for name, module in builders.items() if module.startswith("mtsearch.")}
    assert shipped - set(_IMAGES) == {"arrays", "loaders", "vectors"}
