"""A store's data are read to the end once per node, and again when the file changed."""

import tempfile

import pytest
from fake import write_mnist

from mtsearch.config.errors import Damaged
from mtsearch.config.schema import DataConfig
from mtsearch.data import open_labels, prepare, store


@pytest.fixture
def data(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    write_mnist(tmp_path / "MNIST" / "raw")
    return DataConfig(dataset="multimnist", root=tmp_path)


def test_hashes_are_computed_once_per_node(data, monkeypatch):
    prepare(data)
    hashed, file_hash = [], store._file_hash
    monkeypatch.setattr(store, "_file_hash", lambda path: hashed.append(path) or file_hash(path))
    open_labels(data)
    open_labels(data)
    assert not hashed  # verified when it was built
    store.verify(prepare(data), store.read_manifest(prepare(data)))
    assert len(hashed) == 1


def test_changed_files_are_verified_again(data):
    path = prepare(data)
    open_labels(data)
    file = path / store.DATA
    file.chmod(0o644)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(Damaged, match="their checksum is not that of the manifest"):
        open_labels(data)


def test_stamps_of_a_folder_open_to_others_do_not_count(data, tmp_path):
    path = prepare(data)
    open_labels(data)
    (folder,) = (tmp_path / "temporary").glob("mtsearch-verified-*")
    folder.chmod(0o777)
    assert not store.is_verified(path / store.DATA, store.read_manifest(path)["data_sha256"])
