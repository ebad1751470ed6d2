"""MultiMNIST and Cifar10Mnist according to the specification (mdmtn.md, sections 10 and 15.21),
with the faults that it lists corrected."""

from fractions import Fraction

import numpy as np
import pytest
from fake import CLASSES, colours, digits, image_files, write_mnist, write_root, write_tree
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import load_card, open_dataset
from mtsearch.data.builders import DATASET_BUILDERS, SplitSpec, read_source
from mtsearch.data.builders.cifar10_mnist import blend, enlarge
from mtsearch.data.builders.multimnist import overlay, shrink
from mtsearch.data.sources import locate
from mtsearch.data.splits import order, split_indices


def arrays(split):
    return split.images.numpy(), {name: values.numpy() for name, values in split.labels.items()}


# ---------------------------------------------------------------- Cifar10Mnist


@given(st.integers(0, 255), st.integers(0, 255))
def test_blended_pixels_are_means_within_rounding(digit, colour):
    out = blend(np.full((1, 1, 1, 3), colour, np.uint8), np.full((1, 1, 1), digit, np.uint8))
    if digit == 0:
        assert (out == colour).all()
    else:
        assert (abs(out.astype(float) - (128 * digit + 127 * colour) / 255) <= 0.5).all()


def test_cifar10_mnist_pairs_image_i_with_digit_i(tmp_path):
    dataset = open_dataset(
        DataConfig(dataset="cifar10_mnist", root=write_root(tmp_path), val_fraction=0.2)
    )
    sizes = {name: len(split) for name, split in dataset.splits.items()}
    assert sizes == {"train": 40, "val": 10, "test": 20}
    train, val = split_indices(np.zeros(50, np.int64), 0.2, 42)
    assert sorted([*train, *val]) == list(range(50))
    sides = {
        "train": (train, colours(50), digits(60)),
        "val": (val, colours(50), digits(60)),
        "test": (np.arange(20), colours(20, 1), digits(20, 1)),
    }
    for name, (index, (images, classes), (inks, numbers)) in sides.items():
        out, labels = arrays(dataset.splits[name])
        for row, i in enumerate(index):
            # Pillow's default, as in the specification.
            big = np.asarray(Image.fromarray(inks[i]).resize((32, 32)))
            pixels = out[row].transpose(1, 2, 0)
            assert (pixels[big == 0] == images[i][big == 0]).all()
            wanted = (128 * big[..., None].astype(float) + 127 * images[i].astype(float)) / 255
            assert (abs(pixels - wanted)[big > 0] <= 0.5).all()
            assert labels["image"][row] == classes[i] and labels["digit"][row] == numbers[i]


def test_too_few_digits_are_refused(tmp_path):
    root = write_root(tmp_path)
    write_mnist(root / "MNIST" / "raw", train=49)
    with pytest.raises(BadInput, match="49 digits for 50 images"):
        open_dataset(DataConfig(dataset="cifar10_mnist", root=root))


@pytest.mark.parametrize("sides", ["train and test", "none"])
def test_class_folders_pair_classes_and_digits_randomly(tmp_path, sides):
    for prefix, classes in (("cifar10", CLASSES), ("MNIST", [str(n) for n in range(10)])):
        files = image_files(train=500, test=300, classes=classes, prefix=prefix)
        if sides == "none":
            files = {
                name.replace("/train/", "/"): content
                for name, content in files.items()
                if "/train/" in name
            }
        write_tree(tmp_path, files)
    card = load_card("cifar10_mnist")
    source = {
        name: {**value, "resize": "box", "test_fraction": 0.4} if name != "kind" else value
        for name, value in card.source.items()
    }
    made = read_source(card.model_copy(update={"source": source}))
    found = {name: locate(tmp_path, part) for name, part in made.sources().items()}
    for name, side in made.compose(card, found, SplitSpec(42, 0.4)).items():
        image, digit = side.labels
        assert len(image) >= 100
        assert 0.01 < (image == digit).mean() < 0.25, name


def test_colour_images_are_ordered_without_salt(tmp_path):
    """Pinned: the checksum of Cifar10Mnist with CIFAR-10 in class folders and official digits."""
    write_tree(tmp_path, image_files())
    write_mnist(tmp_path / "MNIST")
    dataset = open_dataset(DataConfig(dataset="cifar10_mnist", root=tmp_path))
    assert dataset.checksum.startswith("78d63a5ccc54")


def test_digits_are_enlarged_as_pillow_does_by_default():
    images, _ = digits(3)
    assert (
        enlarge(images, 32, 32) == [np.asarray(Image.fromarray(i).resize((32, 32))) for i in images]
    ).all()


# ---------------------------------------------------------------- MultiMNIST


def test_canvas_overlaps_in_22_rows():
    left, right = np.full((1, 28, 28), 100, np.uint8), np.full((1, 28, 28), 200, np.uint8)
    canvas = overlay(left, right)[0]
    assert canvas.shape == (36, 36)
    assert (canvas[34:] == 0).all() and (canvas[:, 34:] == 0).all()
    assert (
        (canvas[6:34, 6:34] == 200).all()
        and (canvas[:6, :28] == 100).all()
        and (canvas[:28, :6] == 100).all()
    )
    assert ((overlay(left, left * 0) > 0) & (overlay(left * 0, right) > 0)).sum() == 22 * 22


def bilinear(canvas):
    """Plain reference implementation: bilinear scaling with pixel centres aligned, in exact
    fractions, rounded half up."""
    out = np.zeros((28, 28), int)
    for i in range(28):
        for j in range(28):
            y, x = (Fraction(2 * k + 1, 2) * Fraction(36, 28) - Fraction(1, 2) for k in (i, j))
            a, b = int(y), int(x)
            u, v = y - a, x - b
            c = [[int(canvas[a + p, b + q]) for q in (0, 1)] for p in (0, 1)]
            value = (1 - u) * ((1 - v) * c[0][0] + v * c[0][1]) + u * (
                (1 - v) * c[1][0] + v * c[1][1]
            )
            out[i, j] = int(value + Fraction(1, 2))
    return out


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=5, deadline=None)
def test_scaling_agrees_with_exact_fractions(seed):
    canvas = np.random.RandomState(seed).randint(0, 256, (1, 36, 36)).astype(np.uint8)
    assert (shrink(canvas)[0] == bilinear(canvas[0])).all()
    assert (shrink(np.full((1, 36, 36), 255, np.uint8)) == 255).all()


def test_multimnist_draws_partners_within_the_split(tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw", train=60, test=20)
    dataset = open_dataset(DataConfig(dataset="multimnist", root=tmp_path, val_fraction=0.25))
    images, numbers = digits(60)
    train, val = split_indices(numbers.astype(np.int64), 0.25, 42)
    for name, index, (pool, labels) in (
        ("train", train, (images, numbers)),
        ("val", val, (images, numbers)),
        ("test", np.arange(20), digits(20, 1)),
    ):
        out, found = arrays(dataset.splits[name])
        pairs = shrink(
            overlay(np.repeat(pool[index], len(index), 0), np.tile(pool[index], (len(index), 1, 1)))
        ).reshape(len(index), len(index), 28, 28)
        for row, i in enumerate(index):
            partners = [k for k in range(len(index)) if (pairs[row, k] == out[row, 0]).all()]
            assert len(partners) == 1  # exactly one partner of this split gives this image
            assert (
                found["left"][row] == labels[i]
                and found["right"][row] == labels[index[partners[0]]]
            )
    assert not set(train) & set(val)


def test_test_split_is_independent_of_split_seed(tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw")
    a, b = (
        open_dataset(DataConfig(dataset="multimnist", root=tmp_path, split_seed=seed))
        for seed in (1, 2)
    )
    assert (a.splits["test"].images == b.splits["test"].images).all()
    assert not (a.splits["train"].images == b.splits["train"].images).all()
    assert a.checksum != b.checksum


@pytest.mark.parametrize("name", ["multimnist", "cifar10_mnist"])
def test_the_same_seed_gives_the_same_checksum(tmp_path, name):
    sums = [
        open_dataset(DataConfig(dataset=name, root=write_root(tmp_path / place))).checksum
        for place in ("a", "b")
    ]
    assert sums[0] == sums[1]


# ---------------------------------------------------------------- splits and dataset builders


def test_the_splits_of_the_sources_have_their_sizes():
    sizes = {
        name: [
            len(part)
            for part in split_indices(np.zeros(n, np.int64), load_card(name).val_fraction, 42)
        ]
        for name, n in (("multimnist", 60_000), ("cifar10_mnist", 50_000))
    }
    assert sizes == {"multimnist": [50_000, 10_000], "cifar10_mnist": [40_000, 10_000]}


@given(st.integers(2, 200), st.floats(0.05, 0.6), st.integers(0, 2**70))
def test_a_cut_uses_every_item_once(count, fraction, seed):
    rest, part = split_indices(np.zeros(count, np.int64), fraction, seed)
    assert sorted([*rest, *part]) == list(range(count)) and len(part) == round(count * fraction)
    again = split_indices(np.zeros(count, np.int64), fraction, seed)
    assert (again[0] == rest).all() and (again[1] == part).all()


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=5, max_size=80),
    st.floats(0.1, 0.5),
    st.integers(0, 9),
)
def test_splits_keep_groups_whole_and_classes_present(items, fraction, seed):
    labels = np.array([label for label, _ in items])
    groups = np.array([label * 10 + group for label, group in items])
    rest, part = split_indices(labels, fraction, seed, groups)
    assert sorted([*rest, *part]) == list(range(len(items)))
    assert not set(groups[rest]) & set(groups[part])
    assert set(labels[rest]) == set(labels)
    for label in set(labels[labels >= 0]):
        if len(set(groups[labels == label])) > 1:
            assert label in labels[part]


def test_orders_are_frozen():
    """Pinned: a change here changes the checksum of every dataset."""
    assert order(8, 0).tolist() == [3, 7, 4, 0, 2, 6, 5, 1]
    assert order(8, 42).tolist() == [4, 3, 7, 6, 0, 1, 5, 2]


def test_unknown_kinds_and_wrong_tasks_are_refused(tmp_path):
    card = load_card("multimnist")
    with pytest.raises(BadInput, match="Did you mean `multimnist`"):
        read_source(card.model_copy(update={"source": {**card.source, "kind": "multimnst"}}))
    with pytest.raises(BadInput, match=r"source\.digits"):
        read_source(card.model_copy(update={"source": {"kind": "multimnist"}}))
    with pytest.raises(BadInput, match=r"should have 2 task"):
        read_source(card).compose(card.model_copy(update={"tasks": card.tasks[:1]}), {}, None)
    assert {"classification", "multimnist", "cifar10_mnist"} <= set(DATASET_BUILDERS)
