"""The dataset of a configuration, and the location of its store."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from fake import image_files, write_batches, write_mnist, write_root, write_zip

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import Batches, list_cards, load_card, open_dataset, prepare, resolve
from mtsearch.data.locations import writable
from mtsearch.data.store import MANIFEST, with_checksum

MM = DataConfig(dataset="multimnist")


def test_the_key_comes_before_the_environment(tmp_path, monkeypatch):
    for name in ("key", "variable"):
        write_mnist(tmp_path / name / "MNIST")
    monkeypatch.setenv("MTSEARCH_DATA", str(tmp_path / "variable"))
    assert resolve(MM).root == tmp_path / "variable"
    assert resolve(MM.model_copy(update={"root": tmp_path / "key"})).root == tmp_path / "key"


def test_sample_replaces_missing_data_with_its_label():
    found = resolve(MM)
    assert found.card.name == "multidigits" and found.card.embedded
    assert found.label == "multidigits (embedded sample; used in place of multimnist)"
    assert open_dataset(MM).label == found.label
    assert resolve(DataConfig(dataset="multidigits")).label == "multidigits (embedded sample)"
    assert (
        resolve(DataConfig(dataset="cifar10_mnist")).label
        == "patches10_digits (embedded sample; used in place of cifar10_mnist)"
    )


def test_cache_folder_is_used_without_a_root(cache):
    write_mnist(cache / "mtsearch" / "data" / "MNIST")
    assert resolve(MM).card.name == "multimnist" and resolve(MM).label == "multimnist from MNIST"


def test_without_a_root_a_prepared_store_is_used(cache, tmp_path):
    write_mnist(cache / "mtsearch" / "data" / "MNIST")
    prepare(MM)
    shutil.rmtree(cache / "mtsearch" / "data" / "MNIST")
    assert resolve(MM).checksum is not None
    assert open_dataset(MM).card.name == "multimnist"


@pytest.mark.parametrize("how", ["key", "variable"])
def test_missing_sets_raise_with_download_instructions(tmp_path, monkeypatch, how):
    monkeypatch.setenv("MTSEARCH_DATA", str(tmp_path))
    data = MM if how == "variable" else MM.model_copy(update={"root": tmp_path})
    with pytest.raises(
        BadInput, match=r"contains no MNIST.*as torchvision's MNIST downloads it"
    ) as caught:
        resolve(data)
    assert ("MTSEARCH_DATA=" if how == "variable" else "data.root=") in str(caught.value) and str(
        caught.value
    ).count(". ") == 0
    write_mnist(tmp_path / "MNIST")
    with pytest.raises(BadInput, match="contains no CIFAR-10, which"):
        resolve(data.model_copy(update={"dataset": "cifar10_mnist"}))


@pytest.mark.parametrize("name", ["mnist", "multimnist", "cifar10_mnist"])
@pytest.mark.parametrize("root", ["FashionMNIST", "FashionMNIST/raw"])
def test_raw_folders_of_other_sets_are_not_mnist(tmp_path, name, root):
    write_batches(tmp_path / root / "cifar10")
    write_mnist(tmp_path / "FashionMNIST" / "raw")
    with pytest.raises(
        BadInput,
        match=r"contains no MNIST, .*FashionMNIST/raw may be of any set while .* is not called"
        r" MNIST",
    ) as caught:
        resolve(DataConfig(dataset=name, root=tmp_path / root))
    assert str(caught.value).count(". ") == 0


def test_a_root_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(BadInput, match="Found nothing there"):
        resolve(MM.model_copy(update={"root": tmp_path / "x"}))
    (tmp_path / "f").write_text("")
    with pytest.raises(BadInput, match="Found a file there"):
        resolve(MM.model_copy(update={"root": tmp_path / "f"}))


def test_sets_without_sample_and_root_are_refused():
    with pytest.raises(BadInput, match=r"no `data\.root` was given.*contains no MNIST"):
        resolve(DataConfig(dataset="mnist"))


def test_embedded_sets_ignore_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MTSEARCH_DATA", str(tmp_path))
    assert resolve(DataConfig(dataset="multidigits")).root.name == "sample"
    with pytest.raises(BadInput, match=r"contains no the sample's digits"):
        resolve(DataConfig(dataset="multidigits", root=tmp_path))


# ---------------------------------------------------------------- location of the store


def test_store_is_below_a_writable_root(tmp_path):
    data = MM.model_copy(update={"root": write_root(tmp_path)})
    assert prepare(data).parent == tmp_path / "mtsearch" / "multimnist"


def test_read_only_roots_are_never_written(tmp_path, cache):
    write_root(tmp_path / "root")
    folders = [Path(folder) for folder, _, _ in os.walk(tmp_path / "root")]
    for folder in folders:
        folder.chmod(0o555)
    try:
        before = sorted(p for p in (tmp_path / "root").rglob("*"))
        path = prepare(MM.model_copy(update={"root": tmp_path / "root"}))
        assert path.is_relative_to(cache) and before == sorted(
            p for p in (tmp_path / "root").rglob("*")
        )
        assert not writable(tmp_path / "root" / "mtsearch" / "x")
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_stores_below_read_only_roots_are_used(tmp_path):
    data = MM.model_copy(update={"root": write_root(tmp_path / "root")})
    path = prepare(data)
    (tmp_path / "root").chmod(0o555)
    try:
        assert resolve(data).store == path and resolve(data).checksum is not None
    finally:
        (tmp_path / "root").chmod(0o755)


def test_data_store_says_where(tmp_path):
    data = MM.model_copy(
        update={"root": write_root(tmp_path / "root"), "store": tmp_path / "stores"}
    )
    assert prepare(data).parent == tmp_path / "stores" / "multimnist"
    assert not (tmp_path / "root" / "mtsearch").exists()
    (tmp_path / "closed").mkdir(mode=0o555)
    with pytest.raises(BadInput, match=r"data\.store"):
        resolve(data.model_copy(update={"store": tmp_path / "closed"}))


def test_each_seed_fraction_and_card_has_a_store(tmp_path):
    root = write_root(tmp_path)
    changes = [{}, {"split_seed": 1}, {"val_fraction": 0.3}, {"dataset": "mnist"}]
    assert (
        len(
            {
                resolve(DataConfig(**{"dataset": "multimnist", "root": root, **change})).store
                for change in changes
            }
        )
        == 4
    )
    assert (
        resolve(MM.model_copy(update={"root": root, "limit": 5})).store
        == resolve(MM.model_copy(update={"root": root})).store
    )


def test_jpeg_files_are_told_in_the_label(tmp_path):
    write_mnist(tmp_path / "MNIST")
    write_zip(tmp_path / "cifar10.zip", image_files(ending="jpg"))
    data = DataConfig(dataset="cifar10_mnist", root=tmp_path)
    label = "cifar10_mnist from CIFAR-10 (JPEG) and MNIST"
    assert resolve(data).label == label
    assert open_dataset(data).label == label == resolve(data).label


def test_limit_keeps_the_first_images(tmp_path):
    data = MM.model_copy(update={"root": write_root(tmp_path)})
    full, part = open_dataset(data), open_dataset(data.model_copy(update={"limit": 15}))
    assert {name: len(split) for name, split in part.splits.items()} == {
        "train": 15,
        "val": 3,
        "test": 3,
    }
    for name, split in part.splits.items():
        assert (split.images == full.splits[name].images[: len(split)]).all()
        assert (split.labels["left"] == full.splits[name].labels["left"][: len(split)]).all()


# ---------------------------------------------------------------- cards


def test_every_card_can_be_read():
    cards = list_cards()
    assert {
        "multimnist",
        "cifar10_mnist",
        "mnist",
        "cifar10",
        "multidigits",
        "patches10_digits",
    } <= set(cards)
    for name, card in cards.items():
        assert card.name == name
        assert card.sample is None or cards[card.sample].embedded
        if card.sample:
            assert [task.name for task in cards[card.sample].tasks] == [
                task.name for task in card.tasks
            ]
            # Restoration networks accept images of any size.
            same = slice(1) if card.source["kind"] == "degraded" else slice(None)
            assert cards[card.sample].shape[same] == card.shape[same]


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(BadInput, match="Did you mean `cifar10_mnist`"):
        load_card("cifar10_mnits")


def test_a_users_card_needs_no_code(tmp_path):
    write_zip(tmp_path / "pets.zip", image_files(prefix="pets"))
    card = tmp_path / "pets.yaml"
    card.write_text(
        "name: pets\ntitle: Pets\nsource: {kind: classification, images: {title: Pets, names:"
        " [pets]}}\ntasks: [{name: animal, outputs: 10}]\nshape: [3, 32, 32]\nmean: [0.5, 0.5,"
        " 0.5]\nstd: [0.2, 0.2, 0.2]\nval_fraction: 0.2\nlicence: mine\nhow_to_get: ask me\n"
    )
    dataset = open_dataset(DataConfig(dataset=str(card), root=tmp_path))
    assert {name: len(split) for name, split in dataset.splits.items()} == {
        "train": 40,
        "val": 10,
        "test": 20,
    }
    assert dataset.label == "pets from Pets"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("title: Pets", "titel: Pets"), "unknown key `titel`"),
        (("outputs: 10", "outputs: 4"), "correct `outputs`"),
        (("mean: [0.5, 0.5, 0.5]", "mean: [0.5]"), "one `mean`"),
        (("name: pets", "name: ../pets"), "as it names folders"),
        (("names: [pets]", "names: []"), "source.images.names"),
        (("names: [pets]", "name: [pets]"), "unknown key `source.images.name`"),
        (("shape: [3, 32, 32]", "shape: {"), "is not valid YAML"),
        (("kind: classification", "kind: clasification"), "Did you mean `classification`"),
    ],
)
def test_a_wrong_card_is_refused_with_the_place(tmp_path, change, message):
    write_zip(tmp_path / "pets.zip", image_files(prefix="pets"))
    test_a_users_card_needs_no_code(tmp_path)
    card = tmp_path / "pets.yaml"
    card.write_text(card.read_text().replace(*change))
    with pytest.raises(BadInput) as caught:
        open_dataset(DataConfig(dataset=str(card), root=tmp_path))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        ("mean: [0.5, 0.5, 0.5]", "mean: [0.5, 0.5, 0.4]"),
        ("std: [0.2, 0.2, 0.2]", "std: [0.3, 0.2, 0.2]"),
    ],
)
def test_changed_normalisation_of_a_store_is_refused(tmp_path, change):
    test_a_users_card_needs_no_code(tmp_path)
    card = tmp_path / "pets.yaml"
    data = DataConfig(dataset=str(card), root=tmp_path)
    text, place, checksum = card.read_text(), resolve(data).store, resolve(data).checksum
    card.write_text(text.replace(*change))
    for ask in (resolve, prepare, open_dataset):
        with pytest.raises(
            BadInput, match=r"`pets` gives mean .* store was built for .*delete the folder"
        ) as caught:
            ask(data)
        assert str(place) in str(caught.value) and str(caught.value).count(". ") == 0
    card.write_text(text)
    assert open_dataset(data).checksum == checksum


def test_old_stores_without_normalisation_are_opened(tmp_path):
    test_a_users_card_needs_no_code(tmp_path)
    data = DataConfig(dataset=str(tmp_path / "pets.yaml"), root=tmp_path)
    file = resolve(data).store / MANIFEST
    manifest = json.loads(file.read_text())
    assert manifest.pop("normalisation") == {"mean": [0.5] * 3, "std": [0.2] * 3}
    file.chmod(0o644)
    file.write_text(json.dumps(with_checksum(manifest)))
    assert resolve(data).checksum == open_dataset(data).checksum == manifest["checksum"]


def test_a_missing_card_file_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"no data card at .*x\.yaml"):
        load_card(tmp_path / "x.yaml")


def test_ordered_channels_last_batches_are_views(tmp_path):
    dataset = open_dataset(DataConfig(dataset="cifar10_mnist", root=write_root(tmp_path)))
    train = dataset.splits["train"]
    loader = Batches(
        train, batch_size=8, mean=dataset.mean, std=dataset.std, memory_format=torch.channels_last
    )
    assert loader._held[0].data_ptr() == train.images.data_ptr()


def test_label_includes_the_limit(tmp_path):
    whole = open_dataset(DataConfig(dataset="drawn_scenes_masks", size=16, store=tmp_path))
    count = len(whole.splits["train"])
    for limit, ending in (
        (None, ""),
        (count, ""),
        (count - 1, f", the first {count - 1} training images"),
        (5, ", the first 5 training images"),
    ):
        dataset = open_dataset(
            DataConfig(dataset="drawn_scenes_masks", size=16, limit=limit, store=tmp_path)
        )
        assert dataset.label == whole.label + ending
    standing_in = resolve(DataConfig(dataset="gid_mtl15", size=16, limit=5, store=tmp_path))
    assert (
        standing_in.label
        == "drawn_scenes_masks (embedded sample, procedural; used in place of gid_mtl15), the first"
        " 5 training images"
    )
