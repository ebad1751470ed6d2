"""Disjoint datasets: concatenated images with labels for the tasks of their member only (mtln.md
4.1, alternating.md 3)."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from fake import CLASSES, colours, digits, image_files, write_batches, write_mnist, write_tree
from PIL import Image

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import list_cards, load_card, open_dataset, prepare, resolve
from mtsearch.data.builders.fitting import fit_images, fit_labels
from mtsearch.data.sources import ImageSource, locate, read_train_test

# In alphabetical order, in which the class numbers of the sets differ.
LEFT, RIGHT = (
    ("agricultural", "beach", "forest"),
    (
        "beach",
        "desert",
        "farmland",
        "forest",
    ),
)


def scenes(root):
    """Two sets of class folders of different sizes and label sets; image i of a split is the same
    image in both."""
    for name, folders, train, test in (("merced", LEFT, 30, 12), ("aid", RIGHT, 80, 20)):
        for side, count in (("train", train), ("test", test)):
            for i, image in enumerate(colours(count, side == "test")[0]):
                buffer = io.BytesIO()
                Image.fromarray(image).save(buffer, "PNG")
                write_tree(
                    root, {f"{name}/{side}/{folders[i % len(folders)]}/{i}.png": buffer.getvalue()}
                )
    return root


def card(folder, name="two", **changes):
    """A card of the two sets, each a member written in it."""
    tree = {
        "name": name,
        "title": "Two sets",
        "source": {
            "kind": "disjoint",
            "members": [
                {
                    "source": {
                        "kind": "classification",
                        "images": {"title": "Merced", "names": ["merced"]},
                    },
                    "tasks": ["merced"],
                },
                {
                    "source": {
                        "kind": "classification",
                        "images": {"title": "AID", "names": ["aid"]},
                    },
                    "tasks": ["aid"],
                },
            ],
        },
        "tasks": [
            {"name": "merced", "outputs": 3, "classes": list(LEFT)},
            {"name": "aid", "outputs": 4, "classes": list(RIGHT)},
        ],
        "shape": [3, 32, 32],
        "mean": [0.5] * 3,
        "std": [0.3] * 3,
        "val_fraction": 0.2,
        "licence": "none",
        "how_to_get": "make them",
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**tree, **changes}))
    return str(path)


def opened(root, path, **changes):
    return open_dataset(DataConfig(dataset=path, root=root, **changes))


def known(split, name):
    return torch.nonzero(split.labels[name] != -1).flatten().tolist()


# ---------------------------------------------------------------- composition


def test_members_are_concatenated_and_labelled_separately(tmp_path):
    splits = opened(scenes(tmp_path), card(tmp_path)).splits
    assert {name: split.members for name, split in splits.items()} == {
        "train": (24, 64),
        "val": (6, 16),
        "test": (12, 20),
    }
    for split in splits.values():
        first, second = split.members
        assert known(split, "merced") == list(range(first)) and known(split, "aid") == list(
            range(first, first + second)
        )


def test_members_keep_their_own_splits(tmp_path):
    scenes(tmp_path)
    alone = card(
        tmp_path,
        "alone",
        source={"kind": "classification", "images": {"title": "AID", "names": ["aid"]}},
        tasks=[{"name": "scene", "outputs": 4, "classes": list(RIGHT)}],
        val_fraction=0.25,
    )
    both = yaml.safe_load(Path(card(tmp_path)).read_text())["source"]["members"]
    both[1] = {"card": alone, "tasks": {"aid": "scene"}}
    data = card(tmp_path, source={"kind": "disjoint", "members": both})
    joint, single = opened(tmp_path, data), opened(tmp_path, alone)
    for name, split in joint.splits.items():
        assert torch.equal(split.images[split.members[0] :], single.splits[name].images)
        assert torch.equal(
            split.labels["aid"][split.members[0] :], single.splits[name].labels["scene"]
        )
    assert joint.splits["val"].members == (
        6,
        20,
    )  # the fraction of the member's card, and that of this card
    # If given, it applies to every member.
    assert opened(tmp_path, data, val_fraction=0.5).splits["val"].members == (
        15,
        40,
    )


def test_a_limit_keeps_the_first_of_each_member(tmp_path):
    whole = opened(scenes(tmp_path), card(tmp_path)).splits
    few = opened(tmp_path, card(tmp_path), limit=30).splits
    assert {name: split.members for name, split in few.items()} == {
        "train": (24, 30),
        "val": (6, 6),
        "test": (6, 6),
    }
    first = whole["train"].members[0]
    assert torch.equal(few["train"].images[24:], whole["train"].images[first : first + 30])
    assert few["train"].images.is_contiguous(memory_format=torch.channels_last)
    for split in few.values():
        assert known(split, "merced") and known(split, "aid")


def test_a_limit_on_one_set_stays_a_view(tmp_path):
    write_mnist(tmp_path / "MNIST")
    split = opened(tmp_path, "mnist").splits["train"]
    assert split.members == () and split.head(7).images.data_ptr() == split.images.data_ptr()


def test_all_images_are_fitted_to_the_cards_shape(tmp_path):
    write_mnist(tmp_path / "MNIST")
    write_tree(tmp_path, image_files())
    members = [
        {"card": "mnist", "tasks": ["digit"]},
        {
            "source": {
                "kind": "classification",
                "images": {"title": "CIFAR-10", "names": ["cifar10"]},
            },
            "tasks": ["image"],
        },
    ]
    tasks = [
        {"name": "image", "outputs": 10, "classes": list(CLASSES)},
        {"name": "digit", "outputs": 10},
    ]
    dataset = opened(
        tmp_path, card(tmp_path, source={"kind": "disjoint", "members": members}, tasks=tasks)
    )
    train = dataset.splits["train"]
    grey, colour = train.images.split(list(train.members))
    assert train.images.shape[1:] == (3, 32, 32)
    assert (grey[:, :1] == grey).all() and not (colour[:, :1] == colour).all()
    alone = opened(tmp_path, "mnist").splits["train"].images
    counterpart = np.asarray(
        Image.fromarray(alone[0, 0].numpy()).resize((32, 32), Image.Resampling.BILINEAR)
    )
    assert (grey[0, 0].numpy() == counterpart).all()


def test_pixel_labels_are_fitted_by_their_nearest_pixel():
    masks = np.arange(16).reshape(1, 4, 4)
    assert fit_labels(masks, (4, 4), (2, 2)).tolist() == [[[5, 7], [13, 15]]]
    assert (fit_labels(masks, (4, 4), (8, 8)) == masks.repeat(2, 1).repeat(2, 2)).all()
    assert fit_labels(np.arange(3), (4, 4), (2, 2)).tolist() == [0, 1, 2]
    same = np.zeros((2, 1, 4, 4), np.uint8)
    assert fit_images(same, (1, 4, 4)) is same


def test_the_store_follows_the_members_cards(tmp_path):
    scenes(tmp_path)
    source = {"kind": "classification", "images": {"title": "AID", "names": ["aid"]}}
    tasks = [{"name": "aid", "outputs": 4, "classes": list(RIGHT)}]
    alone = card(tmp_path, "alone", source=source, tasks=tasks)
    both = card(
        tmp_path,
        source={"kind": "disjoint", "members": [{"card": alone, "tasks": ["aid"]}]},
        tasks=tasks,
    )
    before = resolve(DataConfig(dataset=both, root=tmp_path)).store
    card(tmp_path, "alone", source=source, tasks=tasks, val_fraction=0.3)
    assert resolve(DataConfig(dataset=both, root=tmp_path)).store != before


# ----------------------------------------------------------- classes by name (mtln.md, invariant 9)

SHARED = ["beach", "farmland", "forest"]


def shared(root, right_classes, left_classes=None):
    """Both sets under one label list."""
    members = []
    for name, folders, classes in (("merced", LEFT, left_classes), ("aid", RIGHT, right_classes)):
        alone = card(
            root,
            f"{name}_alone",
            source={"kind": "classification", "images": {"title": name, "names": [name]}},
            tasks=[{"name": "scene", "outputs": len(folders), "classes": list(folders)}],
        )
        members.append(
            {"card": alone, "tasks": {name: "scene"}}
            | ({"classes": {name: classes}} if classes else {})
        )
    tasks = [{"name": name, "outputs": 3, "classes": SHARED} for name in ("merced", "aid")]
    return card(root, source={"kind": "disjoint", "members": members}, tasks=tasks)


def test_one_concept_gets_one_number_in_every_set(tmp_path):
    scenes(tmp_path)
    path = shared(
        tmp_path,
        {"beach": "beach", "farmland": "farmland", "forest": "forest"},
        {"agricultural": "farmland", "beach": "beach", "forest": 2},
    )
    split = opened(tmp_path, path).splits["test"]
    for name, folders, mapped, size, start in (
        ("merced", LEFT, {"agricultural": 1, "beach": 0, "forest": 2}, 12, 0),
        ("aid", RIGHT, {"beach": 0, "farmland": 1, "forest": 2}, 20, split.members[0]),
    ):
        pictures = {
            image.tobytes(): folders[i % len(folders)]
            for i, image in enumerate(colours(size, 1)[0])
        }
        count = split.members[name == "aid"]
        for image, label in zip(
            split.images[start : start + count],
            split.labels[name][start : start + count],
            strict=True,
        ):
            assert (
                int(label)
                == mapped[pictures[image.permute(1, 2, 0).contiguous().numpy().tobytes()]]
            )


def test_unmapped_classes_are_left_out_with_images(tmp_path):
    scenes(tmp_path)
    path = shared(
        tmp_path,
        {"beach": "beach", "forest": "forest"},
        {"agricultural": "farmland", "beach": "beach", "forest": "forest"},
    )
    split = opened(tmp_path, path).splits["train"]
    assert set(split.labels["aid"][split.members[0] :].tolist()) == {0, 2}
    assert split.members[1] < 64


@pytest.mark.parametrize(
    ("right", "message"),
    [
        (None, "has no class `agricultural`"),
        ({"beach": "beach", "farm": "farmland"}, "names a class it lacks: `farm`"),
        ({"beach": "shore"}, "maps `beach` to `shore`"),
    ],
)
def test_classes_that_do_not_fit_are_refused(tmp_path, right, message):
    scenes(tmp_path)
    with pytest.raises(BadInput, match=message):
        opened(
            tmp_path,
            shared(
                tmp_path,
                right,
                (
                    None
                    if right is None
                    else dict(zip(LEFT, ("farmland", "beach", "forest"), strict=True))
                ),
            ),
        )


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([{"card": "mnist", "tasks": ["merced"]}], "names a task that `mnist` lacks: `merced`"),
        (
            [{"card": "mnist", "tasks": {"merced": "digit"}}],
            "No member of `two` labels the task `aid`",
        ),
        (
            [{"card": "mnist", "tasks": {"mersed": "digit"}}],
            "a task that the card lacks: `mersed`. Did you mean `merced`",
        ),
        ([{"card": "cifar10_fashion", "tasks": ["item"]}], "should name one set"),
        ([{"tasks": ["merced"]}], "either `card` or `source`"),
        (
            [{"source": {"kind": "clasification"}, "tasks": ["merced"]}],
            "unknown `source.members.0.source.kind`",
        ),
        (
            [{"card": "mnist", "shape": [1, 2, 2], "tasks": ["merced"]}],
            "`shape` requires `source`",
        ),
        (
            [{"card": "mnist", "tasks": ["merced"], "classes": {"aid": {}}}],
            "`classes` should name tasks of this member",
        ),
    ],
)
def test_members_that_do_not_fit_are_refused(tmp_path, members, message):
    write_mnist(tmp_path / "MNIST")
    tasks = [{"name": "merced", "outputs": 10}] if "lacks: `merced`" in message else None
    changes = {"tasks": tasks} if tasks else {}
    with pytest.raises(BadInput, match=message):
        opened(tmp_path, card(tmp_path, source={"kind": "disjoint", "members": members}, **changes))


# ---------------------------------------------------------------- CIFAR-10 with clothes


def write_fashion_mnist(folder, each=12):
    """Ten classes in turn, as IDX."""
    write_mnist(folder, 10 * each, 10 * each)
    return folder


def write_fashion_rgb(folder, *, form=list):
    names = ["Blouse", "Dress", "Jeans", "Skirt", "Tank"]
    for side, count in (("train", 25), ("val", 10)):
        records = []
        for i, image in enumerate(colours(count, 5 if side == "train" else 6)[0]):
            (folder / side).mkdir(parents=True, exist_ok=True)
            buffer = io.BytesIO()
            Image.fromarray(image).resize((40, 60)).save(buffer, "PNG")
            (folder / side / f"{i}.png").write_bytes(buffer.getvalue())
            records.append(
                [names[i % 5], f"{i}.png", 1]
                if form is list
                else {"label": names[i % 5], "file": f"{i}.png"}
            )
        (folder / f"{side}.json").write_text(json.dumps(records))


def test_substitute_takes_first_images_of_five_classes(tmp_path):
    write_fashion_mnist(tmp_path / "FashionMNIST" / "raw")
    source = load_card("fashion_mnist5").source["images"]
    source = ImageSource.model_validate({**source, "per_class": 3})
    pool, test = read_train_test(
        locate(tmp_path, source),
        source,
        (3, 28, 28),
        ("Shirt", "Dress", "Trouser", "Coat", "T-shirt/top"),
    )
    images, labels = digits(120)
    wanted = sorted(i for number in (6, 3, 1, 4, 0) for i in np.flatnonzero(labels == number)[:3])
    assert (pool.images == images[wanted][..., None]).all()
    assert pool.labels.tolist() == [{6: 0, 3: 1, 1: 2, 4: 3, 0: 4}[labels[i]] for i in wanted]
    assert np.bincount(test.labels).tolist() == [3] * 5


@pytest.mark.parametrize("form", [list, dict])
def test_fashion_rgb_is_read_from_its_lists(tmp_path, form):
    write_fashion_rgb(tmp_path / "FashionRGB", form=form)
    dataset = opened(tmp_path, "fashion_rgb")
    assert {name: len(split) for name, split in dataset.splits.items()} == {
        "train": 20,
        "val": 5,
        "test": 10,
    }
    # The official `val` split, in its order.
    assert dataset.splits["test"].labels["item"].tolist() == [0, 1, 2, 3, 4] * 2
    assert dataset.splits["test"].images.shape == (10, 3, 32, 32)


def test_which_clothes_were_used_is_in_the_label(tmp_path):
    write_batches(tmp_path / "cifar-10-batches-py")
    write_fashion_mnist(tmp_path / "FashionMNIST" / "raw")
    data = DataConfig(dataset="cifar10_fashion", root=tmp_path)
    assert (
        resolve(data).label == "cifar10_fashion from CIFAR-10 and Fashion-MNIST as RGB, 5 classes"
    )
    dataset = open_dataset(data)
    assert dataset.label.endswith("Fashion-MNIST as RGB, 5 classes") and dataset.splits[
        "train"
    ].members == (40, 48)
    write_fashion_rgb(tmp_path / "FashionRGB")
    other = DataConfig(dataset="cifar10_fashion", root=tmp_path, store=tmp_path / "other")
    assert resolve(other).label == "cifar10_fashion from CIFAR-10 and FashionRGB"
    prepare(other)
    assert resolve(other).label == "cifar10_fashion from CIFAR-10 and FashionRGB"


def test_a_root_without_clothes_names_both_sets(tmp_path):
    write_batches(tmp_path / "cifar-10-batches-py")
    with pytest.raises(
        BadInput, match="contains no FashionRGB or Fashion-MNIST as RGB, 5 classes, which"
    ):
        resolve(DataConfig(dataset="cifar10_fashion", root=tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "should contain records"),
        ("[", "is not JSON"),
        ('[["Dress"]]', "should begin with a class's name and a file's name"),
        ('[["Dress", "../../secret.png"]]', "is not in"),
        ('[["Hat", "0.png"]]', "The class `Hat`"),
    ],
)
def test_damaged_lists_are_refused(tmp_path, text, message):
    write_fashion_rgb(tmp_path / "FashionRGB")
    (tmp_path / "FashionRGB" / "train.json").write_text(text)
    with pytest.raises(BadInput, match=message):
        opened(tmp_path, "fashion_rgb")


def test_the_sample_keeps_the_ratio_and_all_tasks(tmp_path):
    assert (
        resolve(DataConfig(dataset="cifar10_fashion", store=tmp_path)).label
        == "patches10_digits5 (embedded sample; used in place of cifar10_fashion)"
    )
    dataset = open_dataset(DataConfig(dataset="cifar10_fashion", store=tmp_path))
    images, items = dataset.splits["train"].members
    assert 9 < images / items < 11
    assert (
        {task.name for task in dataset.card.tasks}
        == {task.name for task in load_card("cifar10_fashion").tasks}
        == {"image", "item"}
    )
    for split in dataset.splits.values():
        assert set(split.labels["image"].tolist()) == set(range(-1, 10)) and set(
            split.labels["item"].tolist()
        ) == set(range(-1, 5))
    pixels = dataset.splits["train"].images.float() / 255
    assert pixels.mean((0, 2, 3)).tolist() == pytest.approx(dataset.mean, abs=2e-3)
    assert pixels.std((0, 2, 3)).tolist() == pytest.approx(dataset.std, abs=2e-3)


@pytest.mark.parametrize(
    "shipped",
    [card for card in list_cards().values() if card.source["kind"] == "disjoint"],
    ids=lambda card: card.name,
)
def test_shipped_cards_name_classes_like_their_members(shipped):
    given = [task for member in shipped.source["members"] for task in member["tasks"]]
    assert given == [task.name for task in shipped.tasks]
    for member in shipped.source["members"]:
        names = member.get("card", [])
        for alone in map(load_card, [names] if isinstance(names, str) else names):
            pairs = (
                member["tasks"].items()
                if isinstance(member["tasks"], dict)
                else zip(member["tasks"], member["tasks"], strict=True)
            )
            for mine, its in pairs:
                ours = next(task for task in shipped.tasks if task.name == mine)
                theirs = next(task for task in alone.tasks if task.name == its)
                assert ours.outputs == theirs.outputs and ours.classes in ((), theirs.classes)


def test_two_drawn_sets_replace_the_real_ones(tmp_path):
    dataset = open_dataset(DataConfig(dataset="rsscn7_gid_scenes", store=tmp_path, size=16))
    assert (
        dataset.label
        == "drawn_scenes_two (embedded sample, procedural; used in place of rsscn7_gid_scenes)"
    )
    train = dataset.splits["train"]
    assert train.members == (600, 300) and train.images.shape[1:] == (3, 16, 16)
    for split in dataset.splits.values():
        first = split.members[0]
        assert set(split.labels["rsscn7"][:first].tolist()) == set(range(7)) and set(
            split.labels["gid"][first:].tolist()
        ) == set(range(5))
        assert not {image.tobytes() for image in split.images[:first].numpy()} & {
            image.tobytes() for image in split.images[first:].numpy()
        }


def test_original_classes_must_hold_the_tasks_names(tmp_path):
    write_mnist(tmp_path / "MNIST")
    source = ImageSource(title="MNIST", names=("MNIST",), original_classes=tuple("0123456789"))
    with pytest.raises(BadInput, match=r"should be named among `original_classes`. Found ten"):
        read_train_test(locate(tmp_path, source), source, (1, 28, 28), ("ten",))
