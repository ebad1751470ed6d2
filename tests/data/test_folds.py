"""Five folds, listed in CSV files or drawn: each image is tested on once, and validated on in the
previous fold."""

import os
from pathlib import Path

import numpy as np
import pytest
from fake import write_tree, write_zip
from scenes import counts, csv_folds, encoded, members, scene_files

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import load_card, open_dataset, prepare, resolve
from mtsearch.data.archives import open_tree
from mtsearch.data.folds import FOLDS, read_lists, rotation

REAL = os.environ.get("MTSEARCH_TEST_DATA")
# Class sizes with which the fifths of every class, rounded down, give the published counts of
# WHU-RS19's folds.
WHU = (49, 54, 52, 53, 53, 53, 58, 51, 56, 56, 61, 55, *[50] * 7)
# Class sizes of AID as published, in the order of the alphabet.
AID = (
    360,
    310,
    220,
    400,
    360,
    260,
    240,
    350,
    410,
    300,
    370,
    250,
    390,
    280,
    290,
    340,
    350,
    390,
    370,
    420,
    380,
    260,
    290,
    410,
    300,
    300,
    330,
    290,
    360,
    420,
)


def labels_of(sizes):
    return np.repeat(np.arange(len(sizes)), sizes)


@pytest.mark.parametrize(
    ("sizes", "train", "test"),
    [
        (WHU, (605, 602, 602, 594, 600), (195, 201, 198, 201, 206)),
        ((400,) * 7, (1680,) * 5, (560,) * 5),
        ((100,) * 21, (1260,) * 5, (420,) * 5),
        (AID, (6000,) * 5, (2000,) * 5),
    ],
    ids=["whu_rs19", "rsscn7", "ucmerced", "aid"],
)
def test_drawn_folds_have_the_published_sizes(sizes, train, test):
    folds = [rotation(labels_of(sizes), fold, 0) for fold in range(FOLDS)]
    assert tuple(len(fold["train"]) for fold in folds) == train
    assert tuple(len(fold["test"]) for fold in folds) == test


def check_rotation(folds, count):
    """Invariant 19 of the study: identity of the rotation, disjointness, coverage."""
    for number, fold in enumerate(folds):
        sides = [set(fold[name]) for name in ("train", "val", "test")]
        assert sum(map(len, sides)) == len(set().union(*sides)) == count  # disjoint and complete
        assert list(fold["val"]) == list(folds[(number + 1) % FOLDS]["test"])
    assert set().union(*(set(fold["test"]) for fold in folds)) == set(folds[0]["train"]) | set(
        folds[0]["val"]
    ) | set(folds[0]["test"])


def test_drawn_folds_rotate_for_all_class_sizes():
    for seed, sizes in enumerate([WHU, (5, 5), (1, 2, 3, 40), (7,) * 30]):
        labels = np.random.RandomState(seed).permutation(labels_of(sizes))
        folds = [rotation(labels, fold, seed) for fold in range(FOLDS)]
        check_rotation(folds, len(labels))
        for fold in folds:  # by class
            counts = np.bincount(labels[fold["test"]], minlength=len(sizes))
            assert (np.abs(counts - np.array(sizes) / FOLDS) < 1).all()


def test_drawn_folds_follow_the_seed_alone():
    labels = labels_of(WHU)
    assert all(
        (rotation(labels, 1, 3)[name] == rotation(labels, 1, 3)[name]).all()
        for name in ("train", "val", "test")
    )
    assert set(rotation(labels, 1, 3)["test"]) != set(rotation(labels, 1, 4)["test"])


@pytest.mark.parametrize("name", ["rsscn7", "ucmerced", "whu_rs19", "aid"])
@pytest.mark.parametrize("place", ["beside", "inside"])
def test_listed_folds_are_those_of_the_csv_files(tmp_path, name, place):
    """Images whose pixels encode their number, and rows with the separators of the published
    files."""
    card = load_card(name)
    files = scene_files(card, per_class=5)
    lists = csv_folds(card, files, backslash=name in ("ucmerced", "whu_rs19"))
    folder = card.source["images"]["names"][0]
    if place == "inside":
        write_tree(
            tmp_path,
            files | {f"{folder}/{file}": content for file, content in encoded(lists).items()},
        )
    else:
        write_zip(tmp_path / f"{folder}.zip", files)
        write_tree(tmp_path / f"{folder}_folds", encoded(lists))
    folds = [
        members(open_dataset(DataConfig(dataset=name, root=tmp_path, fold=fold, size=8)))
        for fold in range(FOLDS)
    ]
    for number, fold in enumerate(folds):
        assert {side: len(found) for side, found in fold.items()} == {
            "train": 3 * card.tasks[0].outputs
        } | dict.fromkeys(("val", "test"), card.tasks[0].outputs)
        assert not (
            fold["train"] & fold["val"]
            or fold["train"] & fold["test"]
            or fold["val"] & fold["test"]
        )
        assert fold["val"] == folds[(number + 1) % FOLDS]["test"]
        listed = {
            int(Path(row.split(",")[0].replace("\\", "/")).stem[1:])
            for row in lists[f"test_fold{number}.csv"].splitlines()
        }
        assert fold["test"] == listed


def test_the_label_says_which_fold_of_which_division(tmp_path):
    write_tree(tmp_path, scene_files(load_card("rsscn7"), per_class=5))
    data = DataConfig(dataset="rsscn7", root=tmp_path, fold=3, size=8)
    assert (
        resolve(data).label
        == "rsscn7 from RSSCN7, fold 3 of a seeded rotation"
        == open_dataset(data).label
    )
    write_tree(
        tmp_path / "RSSCN7_folds",
        encoded(csv_folds(load_card("rsscn7"), scene_files(load_card("rsscn7"), per_class=5))),
    )
    data = data.model_copy(update={"fold": 2})
    assert resolve(data).label == "rsscn7 from RSSCN7, fold 2 as listed in RSSCN7_folds"


def test_seed_changes_only_the_order_of_folds(tmp_path):
    write_tree(tmp_path, scene_files(load_card("rsscn7"), per_class=10))
    data = DataConfig(dataset="rsscn7", root=tmp_path, fold=0, size=8)
    one, other = open_dataset(data), open_dataset(data.model_copy(update={"split_seed": 1}))
    assert members(one) == members(other)
    assert (one.splits["train"].images != other.splits["train"].images).any()
    for dataset in (one, other):  # not class by class, so that a limit keeps some of each
        assert len(set(dataset.splits["train"].labels["scene"][:21].tolist())) >= 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.replace("cIndustry/s0.png,0\n", "cIndustry/s999.png,0\n"),
            "cindustry/s999, which is not among the 35 images found",
        ),
        (
            lambda t: t.replace("cIndustry/s0.png,0\n", "cIndustry/s0.png,1\n"),
            "should give cIndustry the label 0, as the data card does",
        ),
        (lambda t: t + t, "again"),
        (lambda t: "only one column\n" + t, "path,label"),
    ],
)
def test_lists_that_do_not_fit_are_refused(tmp_path, change, message):
    card = load_card("rsscn7")
    files = scene_files(card, per_class=5)
    lists = {name: change(text) for name, text in csv_folds(card, files).items()}
    write_tree(tmp_path, files)
    write_tree(tmp_path / "rsscn7_folds", encoded(lists))
    fold = next(
        fold
        for fold in range(FOLDS)
        if "cIndustry/s0.png" not in csv_folds(card, files)[f"train_fold{fold}.csv"]
    )
    with pytest.raises(BadInput, match="(?s)" + message):
        open_dataset(DataConfig(dataset="rsscn7", root=tmp_path, fold=fold, size=8))


def test_a_missing_list_is_named(tmp_path):
    card = load_card("rsscn7")
    files = scene_files(card, per_class=5)
    lists = csv_folds(card, files)
    del lists["val_fold3.csv"]
    write_tree(tmp_path, files)
    write_tree(tmp_path / "rsscn7_folds", encoded(lists))
    with pytest.raises(BadInput, match=r"lack val_fold3\.csv"):
        open_dataset(DataConfig(dataset="rsscn7", root=tmp_path, fold=3, size=8))


def test_unsupported_folds_and_fractions_are_refused():
    with pytest.raises(BadInput, match=r"`data\.fold` should be left out with `multimnist`"):
        resolve(DataConfig(dataset="multimnist", fold=1))
    with pytest.raises(ValueError, match="does not use `val_fraction` beside `fold`"):
        DataConfig(dataset="rsscn7", fold=1, val_fraction=0.2)


# ---------------------------------------------------------------- size


def test_size_scales_images_in_a_separate_store(tmp_path):
    write_tree(tmp_path, scene_files(load_card("rsscn7"), per_class=5, size=40))
    stores = set()
    for size in (None, 32, 40, 96):
        data = DataConfig(dataset="rsscn7", root=tmp_path, size=size)
        dataset = open_dataset(data)
        assert (
            dataset.card.shape
            == dataset.splits["test"].images.shape[1:]
            == (3, size or 64, size or 64)
        )
        stores.add(prepare(data))
    assert len(stores) == 4
    # The card's own size.
    assert prepare(DataConfig(dataset="rsscn7", root=tmp_path, size=64)) in stores


def test_size_of_unscalable_images_is_refused():
    with pytest.raises(
        BadInput,
        match=r"`data\.size` should be left out with `multimnist`, whose images of 28x28 pixels",
    ):
        resolve(DataConfig(dataset="multimnist", size=64))


# ---------------------------------------------------------------- cards


@pytest.mark.parametrize(
    ("name", "classes"),
    [("aid", 30), ("rsscn7", 7), ("ucmerced", 21), ("whu_rs19", 19), ("nwpu_resisc45", 45)],
)
def test_the_classes_are_in_the_published_order(name, classes):
    (task,) = load_card(name).tasks
    assert task.name == "scene" and task.outputs == len(set(task.classes)) == classes
    alphabetical = list(task.classes) == sorted(task.classes, key=str.lower)
    assert alphabetical == (name not in ("aid", "rsscn7"))
    known = {
        "aid": ("Pond", "Forest", "StorageTanks"),
        "rsscn7": ("cIndustry", "dRiverLake", "eForest"),
    }
    if name in known:
        assert (task.classes[0], task.classes[1], task.classes[-1]) == known[name]


def test_uc_merced_is_read_as_published(tmp_path):
    card = load_card("ucmerced")
    files = {
        f.replace("UCMerced_LandUse/", "UCMerced_LandUse/Images/"): c
        for f, c in scene_files(card, per_class=5, ending="tif").items()
    }
    write_zip(tmp_path / "UCMerced_LandUse.zip", files | {"UCMerced_LandUse/readme.txt": b"Thanks"})
    dataset = open_dataset(DataConfig(dataset="ucmerced", root=tmp_path, size=8))
    assert sum(map(len, members(dataset).values())) == 105
    assert counts(dataset) == (63, 21, 21)


@pytest.mark.skipif(
    not REAL or not Path(REAL, "rsscn7_folds").is_dir(),
    reason="MTSEARCH_DATA names no folder with RSSCN7 and its folds",
)
def test_rsscn7s_published_folds():
    """The counts and the identity of the published files, row for row, without images."""
    tree = open_tree(Path(REAL, "rsscn7_folds"))
    classes = load_card("rsscn7").tasks[0].classes
    names = [f"{name}/{name[0]}{number:03d}" for name in classes for number in range(1, 401)]
    folds = [
        read_lists(tree, fold, tuple(names), labels_of((400,) * 7), classes)
        for fold in range(FOLDS)
    ]
    check_rotation(folds, 2800)
    assert all(
        (len(fold["train"]), len(fold["val"]), len(fold["test"])) == (1680, 560, 560)
        for fold in folds
    )


@pytest.mark.skipif(
    not REAL or not Path(REAL, "rsscn7_128.zip").is_file(),
    reason="MTSEARCH_DATA names no folder with RSSCN7",
)
def test_rsscn7_itself(tmp_path):
    dataset = open_dataset(DataConfig(dataset="rsscn7", root=Path(REAL), store=tmp_path, fold=2))
    assert dataset.label == "rsscn7 from RSSCN7, fold 2 as listed in rsscn7_folds"
    assert counts(dataset) == (1680, 560, 560)
    for split in dataset.splits.values():
        assert (np.bincount(split.labels["scene"]) == len(split) / 7).all()
    pixels = (
        open_dataset(DataConfig(dataset="rsscn7", root=Path(REAL), store=tmp_path))
        .splits["train"]
        .images.float()
        / 255
    )
    assert pixels.mean((0, 2, 3)).tolist() == pytest.approx(dataset.mean, abs=2e-3)
    assert pixels.std((0, 2, 3)).tolist() == pytest.approx(dataset.std, abs=2e-3)
