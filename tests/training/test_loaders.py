"""GroupLoader: the images in the steps of an epoch."""

import pytest
import torch

from mtsearch.balancing.schedules import build_schedule
from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.data import Batches, Split
from mtsearch.training.loaders import GroupLoader, image_pools

ITEM, IMAGE = TaskCard(name="item", outputs=5), TaskCard(name="image", outputs=10)


def disjoint(items, images, size=1):
    """Return images whose first two bytes are their index; the first `items` are labelled for one
    task, the others for the other task."""
    count = items + images
    number = torch.arange(count)
    pixels = torch.zeros(count, 3, size, size, dtype=torch.uint8)
    pixels[:, 0], pixels[:, 1] = (
        (number // 256)[:, None, None].byte(),
        (number % 256)[:, None, None].byte(),
    )
    return Split(
        pixels,
        {"item": torch.where(number < items, 0, -1), "image": torch.where(number < items, -1, 0)},
    )


def loader_of(split, batch_size=128, groups=((0,), (1,)), seed=0, cached=False, augment=None):
    batches = Batches(
        split, batch_size=batch_size, mean=(0.0,) * 3, std=(1.0,) * 3, augment=augment
    )
    return GroupLoader(batches, split, (ITEM, IMAGE), groups, seed, cached)


def numbers(batch):
    images = (batch[0] * 255).round().long()
    return (images[:, 0] * 256 + images[:, 1]).flatten().tolist()


def drawn(loader, group):
    ((members, batch),) = loader.next_batches(group)
    assert members == group
    return numbers(batch)


def test_batches_hold_each_labelled_image_once_per_pass():
    loader = loader_of(disjoint(40, 100), batch_size=16)
    seen = [n for _ in range(3) for n in drawn(loader, (0,))]
    assert sorted(seen) == list(range(40))
    assert sorted(n for _ in range(7) for n in drawn(loader, (1,))) == list(range(40, 140))


def test_fair_coins_cover_half_of_large_sets():
    """Invariant 8 of the alternating specification: no image of the large set occurs twice, and an
    epoch has half of them on average over eight epochs."""
    loader = loader_of(disjoint(5000, 50000))
    schedule, coins = (
        build_schedule(schema.CoinConfig(), ("item", "image")),
        torch.Generator().manual_seed(0),
    )
    shares = []
    for _ in range(8):
        loader.start_epoch()
        plan = schedule.epoch(loader.passes, coins)
        seen = [n for group in plan if group == (1,) for n in drawn(loader, group)]
        assert plan.count((1,)) <= 391 and len(seen) == len(set(seen)) <= 50000
        shares.append(len(seen) / 50000)
    assert sum(shares) / 8 == pytest.approx(0.5, abs=0.03) and len(set(shares)) > 1


def test_cached_passes_repeat_and_fresh_passes_differ():
    augment = schema.Augment(crop=2)
    for cached in (False, True):
        loader = loader_of(disjoint(48, 48, size=8), batch_size=16, cached=cached, augment=augment)
        first, second = ([loader.next_batches((0,))[0][1][0] for _ in range(3)] for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True)) is cached


@pytest.mark.parametrize(("cached", "passes"), [(True, 1), (False, 4)])
def test_a_cached_epoch_goes_through_the_source_once(cached, passes, monkeypatch):
    """Invariant 7 of the alternating specification: fresh passes all have different orders."""
    begun, shuffled = [], Batches.shuffled
    monkeypatch.setattr(
        Batches, "shuffled", lambda self, *values: begun.append(1) or shuffled(self, *values)
    )
    loader = loader_of(disjoint(48, 48), batch_size=16, cached=cached)
    found = [tuple(n for _ in range(3) for n in drawn(loader, (0,))) for _ in range(4)]
    assert len(begun) == len(set(found)) == passes and all(
        sorted(pass_) == list(range(48)) for pass_ in found
    )
    loader.start_epoch()
    assert (
        tuple(n for _ in range(3) for n in drawn(loader, (0,))) not in found
        and len(begun) == passes + 1
    )


def test_batches_are_independent_of_other_tasks_steps():
    alone, mixed = (loader_of(disjoint(64, 64), batch_size=16) for _ in range(2))
    found = []
    for _ in range(4):
        drawn(mixed, (1,))
        found.append(drawn(mixed, (0,)))
    assert found == [drawn(alone, (0,)) for _ in range(4)]


def test_joint_step_on_disjoint_sets_takes_both_batches():
    loader = loader_of(disjoint(32, 320), batch_size=16, groups=((0, 1),))
    assert loader.passes[(0, 1)].batches == 20
    assert not loader.common
    parts = loader.next_batches((0, 1))
    assert [members for members, _ in parts] == [(0,), (1,)]


def test_tasks_with_common_images_form_one_pool():
    split = disjoint(4, 4)
    split.labels["image"][0] = 3  # one image has both labels
    ((members, index),) = image_pools(split, (ITEM, IMAGE), (0, 1))
    assert members == (0, 1) and index is None


def test_loader_state_restores_the_same_batches():
    one, other = (loader_of(disjoint(64, 64), batch_size=16, seed=3) for _ in range(2))
    one.start_epoch()
    drawn(one, (0,))
    other.load_state_dict(one.state_dict())
    one.start_epoch()
    other.start_epoch()
    assert drawn(one, (0,)) == drawn(other, (0,))


def test_a_task_without_labelled_images_is_refused():
    with pytest.raises(BadInput, match="task `item` has no labelled image among 8"):
        loader_of(disjoint(0, 8))


def sized(sizes, groups=((0,), (1,)), split=None):
    split = disjoint(40, 100) if split is None else split
    batches = Batches(split, batch_size=64, mean=(0.0,) * 3, std=(1.0,) * 3)
    return GroupLoader(batches, split, (ITEM, IMAGE), groups, 0, sizes=sizes)


def test_every_task_may_have_its_own_batch_size():
    loader = sized({"item": 8, "image": 30})
    assert {group: stream.batches for group, stream in loader.passes.items()} == {
        (0,): 5,
        (1,): 4,
    }
    assert [len(drawn(loader, (0,))) for _ in range(5)] == [8] * 5
    assert [len(drawn(loader, (1,))) for _ in range(4)] == [30, 30, 30, 10]


def test_joint_epoch_length_follows_the_largest_set():
    loader = sized({"item": 4, "image": 50}, groups=((0, 1),))
    assert loader.passes[(0, 1)].batches == 10
    assert [len(batch[0]) for _, batch in loader.next_batches((0, 1))] == [4, 50]


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        (
            {"item": 4, "imag": 8},
            r"should name tasks of the dataset\. Found `imag`\. Did you mean `image`",
        ),
        ({"item": 4}, "Found none for `image`"),
        (
            {"item": 4, "image": 8},
            (
                "tasks with common images, which train on the same batch. Found 4 for `item`, 8 for"
                " `image`"
            ),
        ),
    ],
)
def test_invalid_batch_sizes_are_refused(sizes, sentence):
    common = disjoint(4, 4)
    common.labels["image"][0] = 3
    with pytest.raises(BadInput, match=sentence):
        sized(sizes, groups=((0, 1),), split=common)
