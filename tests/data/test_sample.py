"""The embedded sample: small, real, and split without leaks."""

import configparser
import zipfile
from pathlib import Path

import pytest

import mtsearch
from mtsearch.config.schema import DataConfig
from mtsearch.data import load_card, open_dataset
from mtsearch.data.builders import read_source
from mtsearch.data.cards import datasets_folder
from mtsearch.data.sources import locate, read_train_test
from mtsearch.data.splits import split_indices

SAMPLE = datasets_folder() / "sample"
ROOT = Path(mtsearch.__file__).parent.parent


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    store = tmp_path_factory.mktemp("stores")
    return {
        name: open_dataset(DataConfig(dataset=name, store=store))
        for name in ("patches10_digits", "multidigits")
    }


def test_it_is_small():
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()) <= 3_000_000


@pytest.mark.parametrize(
    ("name", "sizes", "checksum"),
    [
        ("patches10_digits", {"test": 560}, None),
        ("multidigits", {"train": 3200, "val": 800, "test": 1000}, "2602b6c33644"),
    ],
)
def test_it_opens_with_its_card(datasets, name, sizes, checksum):
    dataset = datasets[name]
    assert sizes.items() <= {key: len(split) for key, split in dataset.splits.items()}.items()
    # Without JPEG files the bytes are the same on every machine.
    assert checksum is None or dataset.checksum.startswith(checksum)
    for split in dataset.splits.values():
        for task in dataset.card.tasks:
            assert set(split.labels[task.name].tolist()) == set(range(task.outputs))


def test_card_statistics_match_the_training_images(datasets):
    for dataset in datasets.values():
        pixels = dataset.splits["train"].images.float() / 255
        assert pixels.mean((0, 2, 3)).tolist() == pytest.approx(dataset.mean, abs=2e-3)
        assert pixels.std((0, 2, 3)).tolist() == pytest.approx(dataset.std, abs=2e-3)


def test_splits_share_no_cell_of_a_photograph():
    with zipfile.ZipFile(SAMPLE / "patches10.zip") as archive:
        cells = {side: set() for side in ("train", "test")}
        for name in archive.namelist():
            _, side, photograph, file = name.split("/")
            cells[side].add((photograph, file.partition("_")[0]))
    assert not cells["train"] & cells["test"]
    card = load_card("patches10_digits")
    source = read_source(card).sources()["images"]
    pool, _ = read_train_test(locate(SAMPLE, source), source, card.shape, card.tasks[0].classes)
    assert len(set(pool.groups.tolist())) == len(cells["train"])
    for seed in (42, 43):
        train, val = split_indices(pool.labels, card.val_fraction, seed, pool.groups)
        assert not set(pool.groups[train]) & set(pool.groups[val])
        assert 0.15 < len(val) / len(pool) < 0.3


def test_datasets_folder_contains_no_modules():
    assert not list(datasets_folder().glob("*.py"))
    for card in (load_card("patches10_digits"), load_card("multidigits")):
        assert card.how_to_get.endswith("datasets/sample/build.py")


@pytest.mark.skipif(
    not (ROOT / "setup.cfg").is_file(), reason="reads the clone that the package was built from"
)
def test_sample_licences_are_packaged():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = config["metadata"]["license_files"].split()
    assert "datasets/LICENSES.md" in listed and all((ROOT / name).is_file() for name in listed)
    assert (ROOT / "datasets" / "sample" / "build.py").is_file()


def test_every_sample_source_has_a_licence():
    text = (datasets_folder() / "LICENSES.md").read_text()
    for name in load_card("patches10_digits").tasks[0].classes:
        assert f"| {name} |" in text
    assert "CC BY-SA 3.0" in text and "Daniel Buechele" in text and "vultilion" in text
