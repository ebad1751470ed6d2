"""Sequences and feature maps in `.npy` files."""

import numpy as np
import pytest
import torch
import yaml

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import open_dataset, prepare


def write(tmp_path, shape=(3, 12), count=40, **source):
    rng = np.random.default_rng(0)
    x = rng.normal(5, 2, (count, *shape))
    np.save(tmp_path / "train.npy", x)
    np.save(tmp_path / "train_kind.npy", np.arange(count) % 2)
    np.save(tmp_path / "train_size.npy", x.reshape(count, -1).sum(1))
    tasks = [{"name": "kind", "outputs": 2}, {"name": "size", "kind": "regression"}]
    source = {"kind": "arrays", "train": "train.npy", "test_fraction": 0.25} | source
    card = {"name": "waves", "root": str(tmp_path), "source": source, "tasks": tasks}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))
    return x, DataConfig(dataset=str(tmp_path / "card.yaml"))


@pytest.mark.parametrize(
    ("shape", "inside"), [((4,), (4, 1, 1)), ((3, 12), (3, 1, 12)), ((2, 5, 6), (2, 5, 6))]
)
def test_arrays_become_examples_with_their_labels(tmp_path, shape, inside):
    _, config = write(tmp_path, shape)
    data = open_dataset(config)
    assert data.card.shape == inside and data.inputs.shape == shape
    assert [len(data.splits[n]) for n in ("train", "val", "test")] == [24, 6, 10]
    for split in data.splits.values():
        sums = split.images.double().flatten(1).sum(1)
        torch.testing.assert_close(sums.float(), split.labels["size"][:, 0], rtol=1e-5, atol=1e-5)
    assert len(data.mean) == inside[0]


def test_given_splits_are_kept(tmp_path):
    x, config = write(tmp_path, test="test.npy", test_fraction=None)
    np.save(tmp_path / "test.npy", x[:5].astype(np.float32))
    np.save(tmp_path / "test_kind.npy", np.array([0, 1, 0, 1, 0]))
    np.save(tmp_path / "test_size.npy", np.full((5, 1), np.nan))
    data = open_dataset(config)
    assert torch.equal(data.splits["test"].images[:, :, 0], torch.from_numpy(x[:5]).float())
    assert data.splits["test"].labels["size"].isnan().all()


@pytest.mark.parametrize(
    ("file", "array", "sentence"),
    [
        ("train.npy", np.full((40, 3), np.nan), "finite numbers. Found nan at"),
        ("train.npy", np.full((40, 3), 1e300), "finite numbers. Found inf at"),
        ("train.npy", np.zeros(40), r"\(N, features\).*Found float64 of the shape \(40,\)"),
        ("train.npy", np.array([{}] * 40), "cannot be read as a .npy file"),
        ("train_kind.npy", np.zeros(39, np.int64), r"labels \(40,\) of task `kind`"),
        ("train_kind.npy", np.zeros(40), "whole numbers of classes. Found float64"),
        ("train_size.npy", np.full(40, np.inf), "finite numbers, or NaN"),
    ],
)
def test_wrong_arrays_are_refused_in_a_sentence(tmp_path, file, array, sentence):
    _, config = write(tmp_path, (3,))
    np.save(tmp_path / file, array)
    with pytest.raises(BadInput, match=sentence):
        prepare(config)
