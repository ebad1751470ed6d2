"""Data loaders of the user: what is read, in which order, and what is refused."""

import math
import random

import numpy as np
import pytest
import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.data.own_loaders import checksum_of, labels_of, open_loaders, read_loaders

TASKS = (
    TaskCard(name="price", kind="regression", outputs=1),
    TaskCard(name="sold", outputs=2),
)


class Rows(Dataset):
    """`count` rows with a price, which is sometimes missing, and a class."""

    def __init__(self, count=10, noise=False):
        self.count, self.noise = count, noise

    def __len__(self):
        return self.count

    def __getitem__(self, k):
        x = torch.full((3,), float(k)) + (torch.rand(3) if self.noise else 0)
        return x, {"price": math.nan if k % 3 == 0 else float(k), "sold": k % 2 if k % 4 else -1}


def loaders(train, **others):
    plain = DataLoader(Rows(4), batch_size=2)
    return {"train": train, "val": plain, "test": plain, **others}


@pytest.mark.parametrize("workers", [0, 2])
def test_shuffled_loaders_are_read_in_order_to_the_end(workers):
    train = DataLoader(Rows(), 4, shuffle=True, drop_last=True, num_workers=workers)
    state = torch.get_rng_state()
    data = open_loaders(loaders(train))
    found = read_loaders(data, TASKS)
    assert torch.equal(state, torch.get_rng_state()) and data.batch_size == 4
    assert found["train"].images[:, 0].tolist() == list(range(10))
    price, sold = found["train"].labels
    assert price.shape == (10, 1) and np.isnan(price[:, 0]).tolist() == [
        k % 3 == 0 for k in range(10)
    ]
    assert sold.dtype == np.int64 and sold.tolist() == [-1, 1, 0, 1, -1, 1, 0, 1, -1, 1]


def test_equal_examples_have_equal_checksums():
    def checksum(train):
        data = open_loaders(loaders(train))
        return checksum_of(read_loaders(data, TASKS), TASKS, data.parts)

    whole = checksum(DataLoader(Rows(), 4, shuffle=True))
    assert whole == checksum(DataLoader(Rows(), 3)) != checksum(DataLoader(Rows(9), 4))


def test_subsets_are_read_in_the_order_of_their_indices():
    train = DataLoader(Rows(), 2, sampler=SubsetRandomSampler([5, 1, 8]))
    found = read_loaders(open_loaders(loaders(train)), TASKS)
    assert found["train"].images[:, 0].tolist() == [5, 1, 8]


class Stream(IterableDataset):
    def __iter__(self):
        yield from (Rows()[k] for k in range(4))


class Shuffled:
    """An iterable that draws its order each time."""

    def __iter__(self):
        order = random.sample(range(10), 10)
        yield from DataLoader(Rows(), sampler=order, batch_size=5)


def wrong(x, y):
    return [(x, y)]


@pytest.mark.parametrize(
    ("train", "sentence"),
    [
        (
            DataLoader(Rows(noise=True), 4),
            "yields other examples each time .* augment in `forward`",
        ),
        (Shuffled(), "yields other examples each time"),
        (DataLoader(Stream(), 2), "a stream without a length"),
        (DataLoader(Rows(), 2, sampler=WeightedRandomSampler([1.0] * 10, 10)), "a sampler of its"),
        (DataLoader(Rows(), sampler=RandomSampler(Rows(), replacement=True)), "a sampler of its"),
        (iter(DataLoader(Rows())), "can be read several times. Found _SingleProcess"),
        ("card.yaml", "can be read several times. Found str"),
        ([], "at least one batch. Found none"),
        ([torch.zeros(2, 3)], r"pairs \(x, y\), .* Found Tensor"),
        (wrong(torch.zeros(2, 3), torch.zeros(2)), "Found tuple of Tensor, Tensor"),
        (wrong(torch.zeros(2, 3).double(), {}), "Found torch.float64. Convert it"),
    ],
)
def test_loaders_that_cannot_be_read_are_refused(train, sentence):
    with pytest.raises(BadInput, match=sentence):
        open_loaders(loaders(train))


@pytest.mark.parametrize("data", [{"train": [], "val": []}, [1, 2], None, {}])
def test_all_three_loaders_are_asked_for(data):
    with pytest.raises(BadInput, match="should be a dict of the loaders train, val and test"):
        open_loaders(data)


def test_inputs_that_are_not_finite_are_refused():
    batch = (torch.tensor([[1.0], [math.inf]]), {"price": torch.zeros(2), "sold": torch.zeros(2)})
    data = open_loaders({"train": [batch], "val": [batch], "test": [batch]})
    with pytest.raises(BadInput, match="should contain finite numbers"):
        read_loaders(data, TASKS)


@pytest.mark.parametrize(
    ("kind", "labels", "sentence"),
    [
        ("classification", torch.zeros(2), "whole numbers of classes. Found torch.float32"),
        ("classification", torch.tensor([0, 2]), r"lie in 0..1, .* Found 0..2"),
        ("classification", torch.tensor([0, -100]), r"Found -100..0. Set `ignore`"),
        ("classification", torch.zeros(2, 1).long(), r"shape \(2,\)"),
        ("segmentation", torch.zeros(2).long(), r"shape \(2, H, W\)"),
        ("regression", torch.zeros(2, 3), r"shape \(2, 2\).* Found \(2, 3\)"),
        ("regression", torch.zeros(2, 2, 3), r"shape \(2, 2\).* Found \(2, 2, 3\)"),
        ("restoration", torch.zeros(2, 2), r"shape \(2, 2, H, W\)"),
        ("regression", torch.full((2, 2), math.inf), "finite numbers, or NaN"),
        ("multilabel", torch.full((2, 2), 0.5), "0, 1 or NaN. Found 0.5"),
    ],
)
def test_labels_that_do_not_fit_are_refused(kind, labels, sentence):
    task = TaskCard(name="a", kind=kind, outputs=2)
    with pytest.raises(BadInput, match=sentence):
        labels_of(task, {"a": labels}, 2, "batch 1")
    with pytest.raises(BadInput, match="has no labels of task `a`"):
        labels_of(task, {"b": labels}, 2, "batch 1")


def test_labels_of_numbers_get_a_column():
    task = TaskCard(name="a", kind="regression", outputs=1)
    assert labels_of(task, {"a": torch.tensor([1, 2])}, 2, "b").tolist() == [[1.0], [2.0]]
    tags = TaskCard(name="a", kind="multilabel", outputs=2)
    found = labels_of(tags, {"a": torch.tensor([[0, math.nan]])}, 1, "b")
    assert found[0][0] == 0 and math.isnan(found[0][1])
