"""Augmentation whose random numbers belong to an example and a pass."""

import pytest
import torch

from mtsearch.config.augmentation import Augment, RandAugment
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.data import Batches, Split
from mtsearch.data.policies import operations, rand_augment
from mtsearch.data.seeded import seeds_of, uniform
from mtsearch.tasks.geometry import check_geometry

ALL = Augment(
    flip=True,
    crop=2,
    rotation=10,
    zoom=0.2,
    light=0.2,
    quarter_turns=True,
    rand_augment=RandAugment(),
)
N, SIDE = 24, 16


def images(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (N, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)


def batches(augment=ALL, size=7, **settings):
    split = Split(images(), {"label": torch.arange(N)})
    return Batches(
        split, batch_size=size, mean=[0.5] * 3, std=[0.25] * 3, augment=augment, **settings
    )


def by_label(found):
    """The images of batches by their label."""
    pairs = [
        (int(label), image.contiguous())
        for rows, labels in found
        for image, label in zip(rows, labels["label"], strict=True)
    ]
    return dict(pairs)


def generator(seed=3):
    return torch.Generator().manual_seed(seed)


def test_images_do_not_depend_on_batch_and_memory_format():
    expected = by_label(batches().shuffled(generator()))
    assert len(expected) == N
    for other in (
        batches(size=1).shuffled(generator()),
        batches(size=N, memory_format=torch.channels_last).shuffled(generator()),
    ):
        found = by_label(other)
        assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_parts_of_batches_are_those_of_whole_batches():
    whole = list(batches().shuffled(generator()))
    parts = [list(batches().shuffled(generator(), share=(rank, 2))) for rank in (0, 1)]
    for (rows, _), *halves in zip(whole, *parts, strict=True):
        assert torch.equal(torch.cat([half for half, _ in halves]), rows)


def test_passes_differ_and_equal_states_give_equal_passes():
    source, state = batches(), generator()
    first = by_label(source.shuffled(state))
    kept = state.get_state()
    second = by_label(source.shuffled(state))
    assert sum(not torch.equal(first[key], second[key]) for key in first) > N // 2
    state.set_state(kept)
    again = by_label(source.shuffled(state))
    assert all(torch.equal(second[key], again[key]) for key in second)


def test_views_are_a_fixed_number_of_images():
    source = batches(ALL.model_copy(update={"views": 3}))
    views = [by_label(source.view(number, 5)) for number in range(3)]
    chosen = {key: set() for key in range(N)}
    for seed in range(12):
        for key, image in by_label(source.shuffled(generator(seed))).items():
            same = [number for number in range(3) if torch.equal(views[number][key], image)]
            assert same
            chosen[key].add(same[0])
    assert max(map(len, chosen.values())) == 3


def test_operations_on_a_batch_equal_those_on_single_images():
    settings = RandAugment(ops=3, magnitude=17)
    numbers = torch.rand(N, 3, 2, generator=generator(), dtype=torch.float64)
    together = rand_augment(images(), settings, numbers)
    for i in range(N):
        alone = rand_augment(images()[i : i + 1], settings, numbers[i : i + 1])
        assert torch.equal(together[i : i + 1], alone)
    assert len(operations(settings)) == 14
    assert len(operations(RandAugment(geometric=False))) == 9


def test_operations_have_the_published_meaning():
    names = list(operations(RandAugment()))
    x = images()[:1]

    def one(name, magnitude=30, sign=0.9):
        numbers = torch.tensor([[[(names.index(name) + 0.5) / len(names), sign]]])
        return rand_augment(x, RandAugment(ops=1, magnitude=magnitude), numbers.double())

    assert torch.equal(one("identity"), x)
    assert torch.equal(one("solarize"), 255 - x)
    assert torch.equal(one("posterize"), x & 0b11110000)
    assert torch.equal(one("brightness", 10), (x.float() * 1.3).clamp(0, 255).to(torch.uint8))
    moved = int(150 / 331 * SIDE)
    assert torch.equal(one("translate_x")[..., moved:], x[..., :-moved])
    assert torch.equal(one("translate_y", sign=0.1)[..., :-moved, :], x[..., moved:, :])
    for name in set(names) - {"identity"}:
        assert not torch.equal(one(name), x), name
    assert all(torch.equal(one(name, 0), x) for name in ("rotate", "shear_x", "contrast"))


def test_numbers_are_uniform_and_independent():
    index = torch.arange(4000)
    seeds = torch.cat([seeds_of(torch.full_like(index, number), index) for number in range(2)])
    assert len(seeds.unique()) == len(seeds)
    u = uniform(seeds, 6)
    assert float(u.min()) >= 0 and float(u.max()) < 1
    assert (u.mean(0) - 0.5).abs().max() < 0.02
    correlation = torch.corrcoef(torch.cat([u[:4000].T, u[4000:].T])) - torch.eye(12)
    assert float(correlation.abs().max()) < 0.08


@pytest.mark.parametrize(
    ("kind", "geometric", "sentence"),
    [
        ("segmentation", True, "moves pixels of images, but not the labels of task `t`"),
        ("restoration", False, "but not the images that task `t` restores"),
        ("segmentation", False, None),
        ("classification", True, None),
    ],
)
def test_operations_that_labels_do_not_follow_are_refused(kind, geometric, sentence):
    task = TaskCard(name="t", kind=kind, outputs=3)
    augment = Augment(rand_augment=RandAugment(geometric=geometric))
    if sentence is None:
        check_geometry([task], augment)
        return
    with pytest.raises(BadInput, match=sentence):
        check_geometry([task], augment)


def test_images_of_other_channels_are_refused():
    split = Split(torch.zeros(2, 4, 8, 8, dtype=torch.uint8), {})
    with pytest.raises(BadInput, match=r"images of 1 or 3 channels\. Found 4"):
        Batches(split, batch_size=2, mean=[0.5] * 4, std=[1] * 4, augment=ALL)


def test_views_without_augmentation_are_refused():
    with pytest.raises(ValueError, match="with `views` should have another setting"):
        Augment(views=2)
