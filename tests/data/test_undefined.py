"""Undefined pixels are left out of training, or are a class."""

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data.chosen import chosen_card


@pytest.mark.parametrize(("name", "classes"), [("drawn_scenes_masks", 5), ("gid_mtl5", 5), ("gid_mtl15", 15)])
def test_undefined_pixels_are_ignored_or_the_class_after_the_others(name, classes):
    ignored, trained = (chosen_card(name, DataConfig(dataset=name, undefined=how)) for how in ("ignore", "class"))
    pixels = ignored.tasks[1]
    assert (pixels.outputs, pixels.ignore, pixels.undefined) == (classes, classes, classes)
    pixels = trained.tasks[1]
    assert (pixels.outputs, pixels.ignore, pixels.undefined, pixels.classes[-1]) == (classes + 1, -1, classes, "undefined")
    assert trained.tasks[0] == ignored.tasks[0]


def test_a_set_without_undefined_pixels_has_no_use_for_them():
    with pytest.raises(BadInput, match=r"`data\.undefined` should be left out with `drawn_scenes`"):
        chosen_card("drawn_scenes", DataConfig(dataset="drawn_scenes", undefined="class"))
