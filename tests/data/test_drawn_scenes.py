"""Drawn scenes: the same on every machine, labelled by their masks, learnable but not trivial."""

import hashlib

import numpy as np
import pytest
import torch

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import load_card, open_dataset, resolve
from mtsearch.data.drawing import draw_scenes

SEVEN = load_card("drawn_scenes").tasks[0].classes


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("stores")


@pytest.fixture(scope="module")
def dataset(store):
    return open_dataset(DataConfig(dataset="drawn_scenes", store=store))


def test_the_bytes_are_the_same_on_every_machine():
    scenes = draw_scenes(SEVEN, 20, 0)
    assert hashlib.sha256(scenes.images.tobytes()).hexdigest()[:16] == "17e32efb6657da11"
    assert hashlib.sha256(scenes.masks.tobytes()).hexdigest()[:16] == "754d0577c078451a"


def test_a_seed_gives_its_own_scenes():
    one, same, other = (draw_scenes(SEVEN, 8, seed) for seed in (3, 3, 4))
    assert (one.images == same.images).all() and (one.masks == same.masks).all()
    assert (one.images != other.images).mean() > 0.9 and (one.masks != other.masks).mean() > 0.3


def test_scene_label_is_the_most_frequent_cover():
    scenes = draw_scenes(SEVEN, 140, 1)
    for mask, label in zip(scenes.masks, scenes.labels, strict=True):
        counts = np.bincount(mask.reshape(-1), minlength=8)
        assert counts[:7].argmax() == label
    undefined = (scenes.masks == 7).mean((1, 2))
    assert (
        scenes.masks.max() == 7 and 0.02 < undefined.mean() < 0.08 and (undefined == 0).mean() > 0.3
    )
    own = (scenes.masks == scenes.labels[:, None, None]).sum((1, 2)) / (scenes.masks < 7).sum(
        (1, 2)
    )
    # Predicting the scene's cover for every pixel is not accurate.
    assert 0.6 < own.mean() < 0.8
    assert np.bincount(scenes.labels, minlength=7).min() >= 17


def test_drawn_scenes_replace_missing_scene_sets(dataset):
    assert {name: len(split) for name, split in dataset.splits.items()} == {
        "train": 840,
        "val": 280,
        "test": 280,
    }
    assert dataset.label == "drawn_scenes (embedded sample, procedural)"
    for name in ("rsscn7", "aid", "ucmerced", "whu_rs19", "nwpu_resisc45"):
        assert (
            resolve(DataConfig(dataset=name)).label
            == f"drawn_scenes (embedded sample, procedural; used in place of {name})"
        )
    for split in dataset.splits.values():
        assert set(split.labels["scene"].tolist()) == set(range(7))
    pixels = dataset.splits["train"].images.float() / 255
    assert pixels.mean((0, 2, 3)).tolist() == pytest.approx(dataset.mean, abs=2e-3)
    assert pixels.std((0, 2, 3)).tolist() == pytest.approx(dataset.std, abs=2e-3)


def test_no_scene_is_in_two_splits(dataset):
    seen = {image.numpy().tobytes() for split in dataset.splits.values() for image in split.images}
    assert len(seen) == 1400


def own_card(folder, count=20, covers="[water, forest, grass]"):
    path = folder / "mine.yaml"
    path.write_text(
        f"name: mine\ntitle: Mine\nembedded: true\nsource: {{kind: drawn_scenes, count: {count},"
        f" folds: true}}\ntasks: [{{name: scene, outputs: 3, classes: {covers}}}]\nshape: [3, 64,"
        " 64]\nmean: [0.5, 0.5, 0.5]\nstd: [0.2, 0.2, 0.2]\nval_fraction: 0.2\nlicence:"
        " mine\nhow_to_get: draw\n"
    )
    return DataConfig(dataset=str(path), root=folder)


def test_drawn_scenes_support_folds_and_sizes(tmp_path):
    data = own_card(tmp_path).model_copy(update={"size": 32})
    assert open_dataset(data).splits["train"].images.shape == (13, 3, 32, 32)
    assert resolve(DataConfig(dataset="rsscn7", size=32, fold=1)).card.shape == (3, 32, 32)
    folds = [open_dataset(data.model_copy(update={"fold": fold})) for fold in (1, 2)]
    assert folds[0].label == "mine (embedded sample, procedural, fold 1 of a seeded rotation)"
    val, test = (
        {image.numpy().tobytes() for image in fold.splits[side].images}
        for fold, side in zip(folds, ("val", "test"), strict=True)
    )
    assert val == test


def test_covers_that_cannot_be_drawn_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"covers as `classes`.*Did you mean `forest`"):
        open_dataset(own_card(tmp_path, covers="[water, forrest, grass]"))


def test_a_small_network_learns_them_gradually(dataset):
    """A few epochs of a small CNN give an accuracy between chance and perfect."""
    torch.manual_seed(0)
    layers, width = [], 3
    for wide in (16, 32, 64):
        layers += [
            torch.nn.Conv2d(width, wide, 3, stride=2, padding=1),
            torch.nn.BatchNorm2d(wide),
            torch.nn.ReLU(),
        ]
        width = wide
    net = torch.nn.Sequential(
        *layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(64, 7)
    )
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    train, test = dataset.splits["train"], dataset.splits["test"]
    inputs, targets = (train.images.float() / 255 - 0.4) / 0.2, train.labels["scene"]
    for _ in range(6):
        for batch in torch.randperm(len(train)).split(32):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(inputs[batch]), targets[batch]).backward()
            optimizer.step()
    net.eval()
    with torch.no_grad():
        found = net((test.images.float() / 255 - 0.4) / 0.2).argmax(1)
    assert 0.5 < (found == test.labels["scene"]).float().mean() < 0.97
