"""Splits that stay in their store: the same batches as in memory, and no process left behind."""

import os

import pytest
import torch

from mtsearch.config.schema import Augment, DataConfig, RandAugment
from mtsearch.data import Batches, open_dataset
from mtsearch.data.stored import StoredRows, in_memory

AUGMENT = Augment(flip=True, rotation=15, crop=2, zoom=0.2, light=0.1)
POLICY = AUGMENT.model_copy(update={"rand_augment": RandAugment(geometric=False)})
LAST = torch.channels_last


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    store = tmp_path_factory.mktemp("stores")
    return DataConfig(dataset="drawn_scenes", store=store, size=16, limit=100)


def opened(data, load):
    return open_dataset(data.model_copy(update={"load": load}))


def batches(dataset, workers=0, **settings):
    given = {"batch_size": 32, "mean": dataset.mean, "std": dataset.std, **settings}
    ignore = {task.name: task.missing for task in dataset.card.tasks}
    return Batches(dataset.splits["train"], workers=workers, ignore=ignore, **given)


@pytest.fixture
def children():
    """Returns the processes that this one has started since the test began."""

    def running():
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return set(file.read().split())

    before = running()
    return lambda: running() - before


def assert_equal(one, other):
    one, other = list(one), list(other)
    assert len(one) == len(other)
    for (images, labels), (images2, labels2) in zip(one, other, strict=True):
        assert torch.equal(images, images2) and images.stride() == images2.stride()
        assert labels.keys() == labels2.keys()
        for name, values in labels.items():
            assert values.dtype == labels2[name].dtype
            assert torch.equal(values.nan_to_num(), labels2[name].nan_to_num())


def test_images_and_masks_stay_in_the_store(data):
    held, stored = opened(data, "memory").splits["train"], opened(data, "stream").splits["train"]
    assert len(stored) == len(held) == 100
    assert isinstance(stored.images, StoredRows)
    assert torch.equal(in_memory(stored.images), held.images)
    for name, values in held.labels.items():
        assert isinstance(stored.labels[name], StoredRows) == (values.dim() > 1)
        assert torch.equal(in_memory(stored.labels[name]), values)
    for task in opened(data, "memory").card.tasks:
        assert torch.equal(stored.labelled(task), held.labelled(task))
        assert stored.complete(task) == held.complete(task)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("augment", [None, AUGMENT, POLICY], ids=["plain", "augmented", "policy"])
@pytest.mark.parametrize("form", [torch.contiguous_format, LAST], ids=["first", "last"])
def test_streamed_batches_are_bit_identical(data, workers, augment, form, children):
    settings = {"augment": augment, "memory_format": form}
    found = []
    for load in ("memory", "stream"):
        generator = torch.Generator().manual_seed(3)
        made = batches(opened(data, load), workers, **settings)
        passes = [*made.shuffled(generator), *made.shuffled(generator, torch.arange(0, 90, 2))]
        shares = [made.shuffled(generator, share=(part, 2)) for part in range(2)]
        found.append([*passes, *(batch for share in shares for batch in share)])
    assert_equal(*found)
    assert not children()


def test_streamed_batches_keep_the_order_of_the_split(data):
    made = [batches(opened(data, load), 1) for load in ("memory", "stream")]
    assert_equal(*made)


def test_workers_draw_no_numbers_of_the_global_generator(data):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    list(batches(opened(data, "stream"), 1))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_abandoned_pass_ends_its_workers(data, children):
    running = batches(opened(data, "stream"), 2).shuffled(torch.Generator())
    next(running)
    assert len(children()) == 2
    running.close()
    assert not children()


def test_workers_end_with_the_last_batch(data, children):
    running = batches(opened(data, "stream"), 1).shuffled(torch.Generator())
    for _ in range(4):
        next(running)
    assert not children()
