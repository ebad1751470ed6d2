"""Inputs that are not images: float32 rows of any shape, returned as they are."""

from typing import Literal

import numpy as np
import pytest
import torch

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import Augment, DataConfig
from mtsearch.config.yaml_text import dump_yaml
from mtsearch.data import Batches, Split, open_dataset
from mtsearch.data.builders import DATASET_BUILDERS, DatasetBuilder, SplitArrays
from mtsearch.data.stored import StoredRows, in_memory


def rows(count, *shape):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(5,), (4, 7), (3, 6, 8)])
def test_floats_are_returned_as_they_are(shape):
    data = Split(rows(37, *shape), {"class": torch.arange(37)})
    made = Batches(data, batch_size=8, mean=(), std=(), memory_format=torch.channels_last)
    found = list(made)
    assert torch.equal(torch.cat([x for x, _ in found]), data.images)
    for x, labels in made.shuffled(torch.Generator().manual_seed(1)):
        assert torch.equal(x, data.images[labels["class"]])
    found[0][0].zero_()  # a network that changes its input
    assert torch.equal(next(iter(made))[0], data.images[:8])


def test_augmentation_of_floats_is_refused():
    data = Split(rows(4, 3, 6, 8), {})
    with pytest.raises(BadInput, match=r"`trial.augment` works on images of 8 bits"):
        Batches(data, batch_size=2, mean=(), std=(), augment=Augment(flip=True))


@pytest.fixture
def card(tmp_path):
    """The card of vectors of 5 numbers, made by a builder of its own."""

    class Vectors(DatasetBuilder):
        kind: Literal["plain"] = "plain"

        def compose(self, card, found, spec):
            values = rows(30, 5).numpy()
            labels = np.arange(30) % 2
            return {
                name: SplitArrays(values[part], (labels[part],))
                for name, part in (
                    ("train", slice(20)),
                    ("val", slice(20, 25)),
                    ("test", slice(25, 30)),
                )
            }

    DATASET_BUILDERS.add("plain", Vectors)
    path = tmp_path / "card.yaml"
    task = {"name": "odd", "outputs": 2}
    tree = {"name": "vectors", "source": {"kind": "plain"}, "tasks": [task], "shape": [5]}
    path.write_text(dump_yaml(tree))
    yield path
    del DATASET_BUILDERS["plain"]


def test_vectors_are_stored_and_streamed(card, tmp_path):
    data = DataConfig(dataset=str(card), root=tmp_path)
    held = open_dataset(data)
    stored = open_dataset(data.model_copy(update={"load": "stream"}))
    assert held.mean == () and held.card.shape == (5,)
    assert torch.equal(held.splits["train"].images, rows(30, 5)[:20])
    assert isinstance(stored.splits["val"].images, StoredRows)
    assert torch.equal(in_memory(stored.splits["test"].images), rows(30, 5)[25:])
