"""Scene sets as members of a disjoint set: the same splits, sizes and folds as alone."""

import io

import numpy as np
import pytest
import torch
import yaml
from fake import write_tree
from PIL import Image
from scenes import csv_folds, encoded, members, numbers, scene_files

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import load_card, open_dataset, resolve


def together(root, *names, **changes):
    """A card of these sets, a task `<set>` each."""
    tasks = [
        {
            "name": name,
            "outputs": load_card(name).tasks[0].outputs,
            "classes": list(load_card(name).tasks[0].classes),
        }
        for name in names
    ]
    tree = {
        "name": "together",
        "title": "Scene sets",
        "source": {
            "kind": "disjoint",
            "members": [{"card": name, "tasks": {name: "scene"}} for name in names],
        },
        "tasks": tasks,
        "shape": [3, 64, 64],
        "mean": [0.4] * 3,
        "std": [0.2] * 3,
        "val_fraction": 0.25,
        "licence": "none",
        "how_to_get": "make them",
    }
    path = root / "together.yaml"
    path.write_text(yaml.safe_dump(tree | changes))
    return DataConfig(dataset=str(path), root=root)


@pytest.fixture
def root(tmp_path):
    for name in ("rsscn7", "ucmerced"):
        write_tree(tmp_path, scene_files(load_card(name), per_class=5, size=40))
    return tmp_path


def parts(dataset, name, split):
    labelled = dataset.splits[split].labels[name] >= 0
    return set(numbers(dataset.splits[split].images[labelled]))


@pytest.mark.parametrize("fold", [None, 2])
def test_each_member_keeps_the_splits_it_has_alone(root, fold):
    write_tree(
        root / "rsscn7_folds",
        encoded(csv_folds(load_card("rsscn7"), scene_files(load_card("rsscn7"), per_class=5))),
    )
    data = together(root, "rsscn7", "ucmerced").model_copy(update={"fold": fold, "size": 24})
    dataset = open_dataset(data)
    assert dataset.splits["train"].images.shape[1:] == (3, 24, 24)
    for name in ("rsscn7", "ucmerced"):
        alone = members(open_dataset(DataConfig(dataset=name, root=root, fold=fold, size=24)))
        assert {split: parts(dataset, name, split) for split in dataset.splits} == alone
    if fold is not None:
        assert dataset.label.endswith("fold 2 as listed in rsscn7_folds and of a seeded rotation")


def test_images_are_scaled_once_from_their_files(root):
    """Images are not scaled to the 64 pixels of their own card first: at the size of the files they
    equal the files, which have a pattern of single pixels."""
    checkered = np.indices((96, 96)).sum(0) % 2 * 255
    buffer = io.BytesIO()
    Image.fromarray(np.repeat(checkered[..., None], 3, 2).astype(np.uint8)).save(buffer, "PNG")
    write_tree(
        root, dict.fromkeys(scene_files(load_card("rsscn7"), per_class=5), buffer.getvalue())
    )
    test = open_dataset(together(root, "rsscn7", "ucmerced", shape=[3, 96, 96])).splits["test"]
    for image in test.images[test.labels["rsscn7"] >= 0]:
        assert (image == torch.from_numpy(checkered)).all()


def test_folds_are_refused_when_a_member_has_none(root):
    data = together(root, "rsscn7", "gid_mtl5").model_copy(update={"fold": 1})
    with pytest.raises(
        BadInput,
        match=(
            r"`data\.fold` should be left out with `together`, whose source of kind disjoint has no"
            r" folds"
        ),
    ):
        resolve(data)
