"""Folds and groups are what their names say; otherwise every metric would be wrong."""

import json

import numpy as np
import pytest
from PIL import Image

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import open_dataset
from mtsearch.data.formats import find_images
from mtsearch.data.sources import ImageSource, read_train_test
from mtsearch.data.splits import split_indices
from mtsearch.data.trees import Folder


def test_limited_folds_have_all_classes(tmp_path):
    found = open_dataset(DataConfig(dataset="rsscn7", fold=0, size=32, limit=400, store=tmp_path))
    for name, split in found.splits.items():
        assert (split.labels["scene"].bincount(minlength=7) > 0).all(), name


def test_groups_across_folders_stay_in_one_split(tmp_path):
    for tile in range(20):
        for side in ("train", "val", "test"):
            folder = tmp_path / side / "a"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8, 3), tile, np.uint8)).save(
                folder / f"t{tile:02d}_{side}.png"
            )
    source = ImageSource(title="x", names=("x",), group=r"(t\d+)_")
    pool, _ = read_train_test(find_images(Folder(tmp_path)), source, (3, 8, 8), ("a",))
    train, val = (
        set(pool.images[part][:, 0, 0, 0].tolist())
        for part in split_indices(pool.labels, 0.5, 0, pool.groups)
    )
    assert train and val and not train & val


def test_lists_without_named_classes_are_numbered_together(tmp_path):
    """A list that lacks a class gives the others the same numbers as the other list."""
    for side, classes in (("train", ("a", "b", "c")), ("val", ("c", "b"))):
        (tmp_path / side).mkdir()
        for name in classes:
            Image.fromarray(np.full((8, 8, 3), ord(name), np.uint8)).save(
                tmp_path / side / f"{name}.png"
            )
        (tmp_path / f"{side}.json").write_text(
            json.dumps([[name, f"{name}.png"] for name in classes])
        )
    pool, test = read_train_test(
        find_images(Folder(tmp_path)), ImageSource(title="x", names=("x",)), (3, 8, 8), ()
    )
    assert (pool.labels.tolist(), test.labels.tolist()) == ([0, 1, 2], [2, 1])


def test_folds_of_sets_without_folds_are_refused():
    with pytest.raises(BadInput, match="fold"):
        open_dataset(DataConfig(dataset="cifar10_mnist", fold=0))
