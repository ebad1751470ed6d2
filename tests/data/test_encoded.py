"""Stores that keep image files: the same content as decoded arrays, and named damaged files."""

import pytest
import torch
import yaml
from fake import write_mnist, write_tree
from test_parallel_prepare import CARD, files

from mtsearch.commands import prepare as command
from mtsearch.config.errors import BadInput, Damaged
from mtsearch.config.schema import Augment, DataConfig
from mtsearch.data import Batches, decoding, holding, open_dataset, open_labels, prepare, resolve
from mtsearch.data.encoded import EncodedColumn
from mtsearch.data.store import DATA, read_manifest
from mtsearch.data.stored import StoredRows, in_memory


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoded")
    write_tree(folder / "root", files())
    (folder / "two.yaml").write_text(yaml.safe_dump(CARD))
    return folder


def config(folder, **settings):
    given = {"dataset": str(folder / "two.yaml"), "root": folder / "root", **settings}
    return DataConfig.model_validate(given)


def test_files_decode_to_the_same_arrays(folder):
    arrays, encoded = (config(folder, format=name) for name in ("arrays", "encoded"))
    paths = [prepare(data) for data in (arrays, encoded)]
    manifests = [read_manifest(path) for path in paths]
    assert manifests[0]["checksum"] == manifests[1]["checksum"]
    assert manifests[0]["statistics"] == manifests[1]["statistics"]
    assert (paths[1] / DATA).stat().st_size < (paths[0] / DATA).stat().st_size / 2
    held = open_dataset(arrays.model_copy(update={"load": "memory"}))
    for load in ("memory", "stream"):
        other = open_dataset(encoded.model_copy(update={"load": load}))
        for name, split in held.splits.items():
            images = other.splits[name].images
            assert isinstance(images, StoredRows) == (load == "stream")
            assert torch.equal(in_memory(images), split.images)
            for task, labels in split.labels.items():
                assert torch.equal(in_memory(other.splits[name].labels[task]), labels)
    assert len(open_labels(encoded).splits["val"]) == len(held.splits["val"])


@pytest.mark.parametrize("augment", [None, {"crop": 2, "rand_augment": {}, "views": 3}])
@pytest.mark.parametrize("workers", [0, 1])
def test_encoded_batches_are_bit_identical(folder, workers, augment):
    found = []
    for settings in ({"format": "arrays", "load": "memory"}, {"format": "encoded"}):
        dataset = open_dataset(config(folder, **settings))
        made = Batches(
            dataset.splits["train"],
            batch_size=50,
            mean=dataset.mean,
            std=dataset.std,
            workers=workers,
            augment=augment and Augment.model_validate(augment),
        )
        found.append(list(made.shuffled(torch.Generator().manual_seed(1))))
    for (images, labels), (images2, labels2) in zip(*found, strict=True):
        assert torch.equal(images, images2) and torch.equal(labels["class"], labels2["class"])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_no_longer_decodes_is_named(folder, workers, monkeypatch):
    data = config(folder, format="encoded")
    column = next(iter(open_dataset(data).splits.values())).images.column
    assert isinstance(column, EncodedColumn)
    name = column.file_name(7)

    def refuse(*given):
        raise BadInput("The image  cannot be read (broken data); replace or remove it.")

    monkeypatch.setattr("mtsearch.data.formats.pictures.decode", refuse)
    dataset = open_dataset(data)
    made = Batches(
        dataset.splits["train"].take(torch.tensor([7])),
        batch_size=1,
        mean=dataset.mean,
        std=dataset.std,
        workers=workers,
    )
    with pytest.raises(Damaged) as caught:
        list(made)
    assert str(caught.value).startswith(f"The image {name} in the store ")
    assert "cannot be read (broken data); delete the folder" in str(caught.value)
    assert decoding.is_image(name)


def test_large_datasets_keep_their_files(folder, tmp_path, monkeypatch, capsys):
    data = config(folder, store=tmp_path)
    assert not resolve(data).store.name.endswith("-encoded")
    monkeypatch.setattr(holding, "LARGE", 1 << 20)
    assert resolve(data).store.name.endswith("-encoded")
    words = [f"dataset={data.dataset}", f"data.root={data.root}", f"data.store={tmp_path}"]
    assert command.main(words) == 0
    assert "format    image files, decoded for each batch" in capsys.readouterr().out
    monkeypatch.undo()
    assert resolve(data).store.name.endswith("-encoded")


def test_encoded_needs_image_files(tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw")
    data = DataConfig(dataset="multimnist", root=tmp_path, format="encoded")
    with pytest.raises(BadInput, match=r"`data.format` should be auto or arrays with"):
        prepare(data)
