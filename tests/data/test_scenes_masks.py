"""Scenes with masks: reading GID-MTL's files, the numbers of its classes, and splits that keep
overlapping images together."""

import io
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from fake import write_tree, write_zip
from PIL import Image
from scenes import FORMATS, counts, members, numbers, picture

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import load_card, open_dataset
from mtsearch.data.cards import datasets_folder
from mtsearch.data.decoding import crop_centre
from mtsearch.data.overlap import Overlap, assign_groups, split_groups

REAL = os.environ.get("MTSEARCH_TEST_DATA")
MTL5 = {"builtup": 288, "farmland": 399, "forest": 177, "meadow": 84, "water": 443}
# Numbers of files, in the order of the masks' numbers.
MTL15 = dict(
    zip(
        load_card("gid_mtl15").tasks[0].classes,
        (72, 59, 23, 53, 44, 75, 76, 37, 69, 41, 38, 76, 45, 28, 31),
        strict=True,
    )
)
DUPLICATES = [
    ("artificial_grassland", 71, 75),
    ("artificial_grassland", 72, 76),
    ("garden_plot", 27, 28),
    ("shrub_land", 8, 9),
    ("shrub_land", 25, 26),
    ("traffic_land", 37, 38),
]
SETS = {"gid_mtl5": MTL5, "gid_mtl15": MTL15}


def mask(numbers, mode="L", ending="png"):
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(numbers, np.uint8)).convert(mode).save(buffer, **FORMATS[ending])
    return buffer.getvalue()


def names_of(name):
    return [
        f"{folder}/{number}"
        for folder, count in SETS[name].items()
        for number in range(1, count + 1)
    ]


def pairs(folder, sizes, undefined, ending="png", size=8):
    """name -> bytes of an image, whose colour encodes its number, and a mask, of its class but for
    one undefined row, for every name."""
    files, number = {}, 0
    for label, (name, count) in enumerate(sizes.items()):
        area = np.full((size, size), label)
        area[0] = undefined
        content = mask(area, ending=ending)
        for place in range(1, count + 1):
            files[f"{folder}/image/{name}/{place}.{ending}"] = picture(number, size, size, ending)
            files[f"{folder}/label_gray/{name}/{place}.{ending}"] = content
            number += 1
    return files


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Both sets with all their files, 8 pixels wide, as zips of TIFF files packed as theirs are."""
    root = tmp_path_factory.mktemp("gid")
    for name, sizes in SETS.items():
        write_zip(
            root / f"{name.upper().replace('_', '-')}.zip",
            pairs(name.upper(), sizes, len(sizes), ending="tif"),
        )
    return {name: open_dataset(DataConfig(dataset=name, root=root, size=8)) for name in SETS}


@pytest.mark.parametrize(("name", "count"), [("gid_mtl5", 1391), ("gid_mtl15", 767)])
def test_all_images_are_read_once(opened, name, count):
    found = members(opened[name])
    assert (
        sum(map(len, found.values()))
        == len(set().union(*found.values()))
        == sum(counts(opened[name]))
        == count
    )


@pytest.mark.parametrize("name", SETS)
def test_scene_classes_are_mask_numbers(opened, name):
    scene, pixels = opened[name].card.tasks
    assert (
        scene.classes == pixels.classes
        and pixels.ignore == pixels.undefined == pixels.outputs == len(SETS[name])
    )
    folder_of = [place.partition("/")[0] for place in names_of(name)]
    for split in opened[name].splits.values():
        labels, masks = split.labels["scene"], split.labels["pixels"]
        assert labels.dtype == masks.dtype == torch.int64 and masks.shape == (len(split), 8, 8)
        assert (masks[:, 1:] == labels[:, None, None]).all() and (
            masks[:, 0] == pixels.undefined
        ).all()
        assert [scene.classes[label] for label in labels] == [
            folder_of[number] for number in numbers(split.images)
        ]


def test_lake_is_13_as_in_the_masks():
    classes = load_card("gid_mtl15").tasks[0].classes
    assert classes.index("lake") == 13 and sorted(classes).index("lake") == 6
    assert list(load_card("gid_mtl5").tasks[0].classes) == sorted(MTL5)  # both orders are equal


# ---------------------------------------------------------------- overlap


def sides_of(dataset):
    """The split of every image, by its name."""
    names = names_of(dataset.card.name)
    return {
        f"{dataset.card.name}/{names[i]}": split
        for split, found in members(dataset).items()
        for i in found
    }


@pytest.mark.parametrize("which", ["gid_mtl15", "joint"])
def test_overlap_groups_stay_whole_across_both_sets(opened, which):
    side = sides_of(opened["gid_mtl5"]) | sides_of(opened["gid_mtl15"])
    groups = Overlap(list=which, set="gid_mtl15").groups()
    assert len(groups) == {"gid_mtl15": 118, "joint": 152}[which]
    assert sum(map(len, groups)) == {"gid_mtl15": 632, "joint": 775}[which]
    for group in groups:
        # A name that is in neither set is a KeyError.
        assert len({side[name] for name in group}) == 1


def test_the_six_pairs_of_equal_images_stay_together(opened):
    side = sides_of(opened["gid_mtl15"])
    for folder, one, other in DUPLICATES:
        assert side[f"gid_mtl15/{folder}/{one}"] == side[f"gid_mtl15/{folder}/{other}"]
    groups = Overlap(list="gid_mtl15", set="gid_mtl15").groups()
    assert len(groups) + (767 - sum(map(len, groups))) == 253  # groups and single images


@pytest.mark.parametrize("name", SETS)
def test_splits_have_their_shares_and_every_class(opened, name):
    sizes = counts(opened[name])
    assert np.abs(np.array(sizes) / sum(sizes) - (0.6, 0.2, 0.2)).max() < 0.03
    for split in opened[name].splits.values():
        assert np.bincount(split.labels["scene"], minlength=len(SETS[name])).min() >= 2


def test_split_seed_never_changes_the_test_split(opened):
    one = opened["gid_mtl15"]
    names = [f"gid_mtl15/{name}" for name in names_of("gid_mtl15")]
    labels = np.array([list(MTL15).index(name.split("/")[1]) for name in names])
    groups = Overlap(list="joint", set="gid_mtl15").groups()
    rest, test, tested = split_groups(names, labels, groups, 0.2, 0)
    assert set(test.tolist()) == members(one)["test"]
    vals = []
    for seed in range(5):
        train, val, dealt = split_groups(
            [names[i] for i in rest], labels[rest], groups, 0.25, seed, tested
        )
        assert not dealt & tested and not set(rest[train]) & set(rest[val])
        assert abs(len(val) / len(rest) - 0.25) < 0.05
        where = {
            names[i]: side
            for side, part in (("train", rest[train]), ("val", rest[val]), ("test", test))
            for i in part
        }
        assert all(len({where[name] for name in group if name in where}) <= 1 for group in groups)
        vals.append(frozenset(val.tolist()))
    assert len(set(vals)) == 5


def test_groups_depend_on_list_and_seed_only():
    groups = Overlap(list="joint", set="gid_mtl5").groups()
    assert (
        assign_groups(groups, 0.2, 3)
        == assign_groups(groups, 0.2, 3)
        != assign_groups(groups, 0.2, 4)
    )
    share = sum(len(groups[number]) for number in assign_groups(groups, 0.2, 3)) / sum(
        map(len, groups)
    )
    assert 0.12 < share < 0.28


def test_without_groups_classes_are_split_by_share():
    labels = np.repeat(np.arange(5), list(MTL5.values()))
    rest, part, _ = split_groups([str(i) for i in range(len(labels))], labels, [], 0.2, 0)
    assert sorted([*rest, *part]) == list(range(len(labels)))
    assert np.bincount(labels[part]).tolist() == [round(0.2 * n) for n in MTL5.values()]


# ---------------------------------------------------------------- files


def mine(root, **files):
    write_tree(
        root,
        pairs("GID-MTL5", dict.fromkeys(MTL5, 6), 5)
        | {f"GID-MTL5/{name}": content for name, content in files.items()},
    )
    return DataConfig(dataset="gid_mtl5", root=root, size=8)


@pytest.mark.parametrize(("wide", "high"), [(9, 8), (8, 9)])
def test_images_one_pixel_too_large_are_cropped(tmp_path, wide, high):
    area = np.zeros((high, wide))
    area[8:], area[:, 8:] = 4, 4  # pixels to be cropped
    data = mine(
        tmp_path,
        **{"image/builtup/6.png": picture(5, high, wide), "label_gray/builtup/6.png": mask(area)},
    )
    dataset = open_dataset(data)
    place, split = next(
        (numbers(s.images).index(5), s) for s in dataset.splits.values() if 5 in numbers(s.images)
    )
    assert split.images[place].shape == (3, 8, 8) and (split.labels["pixels"][place] == 0).all()


@pytest.mark.parametrize("size", [(225, 224), (224, 225)])
def test_files_of_225_pixels_are_cropped(size):
    """Invariant 8 of the MTLN specification."""
    width, height = size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    found = np.asarray(crop_centre(Image.fromarray(pixels), (224, 224)))
    assert found.shape == (224, 224) and (found == pixels[:224, :224]).all()


def test_masks_keep_their_numbers_when_images_are_scaled(tmp_path):
    area = np.zeros((32, 32))
    area[:, 16:] = 4
    files = {
        f"{tree}/{name}/{n}.png": content
        for tree, content in (("image", picture(1, 32, 32)), ("label_gray", mask(area)))
        for name in MTL5
        for n in range(1, 7)
    }
    for size in (8, 20, 48):
        split = open_dataset(mine(tmp_path, **files).model_copy(update={"size": size})).splits[
            "train"
        ]
        assert set(split.labels["pixels"].unique().tolist()) == {0, 4}
        assert (split.labels["pixels"][:, :, : size // 2] == 0).all() and (
            split.labels["pixels"][:, :, size // 2 :] == 4
        ).all()


def test_colour_pictures_of_masks_are_not_read(tmp_path):
    data = mine(tmp_path, **{"label_color/builtup/1.png": picture(0)})
    assert sum(counts(open_dataset(data))) == 30


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"image/builtup/7.png": picture(3)}, r"image builtup/7 in .* has no mask"),
        (
            {"label_gray/builtup/7.png": mask(np.zeros((8, 8)))},
            r"mask builtup/7 in .* has no image",
        ),
        (
            {"label_gray/builtup/6.png": mask(np.zeros((4, 4)))},
            r"builtup/6.png in .* differ in size",
        ),
        (
            {"label_gray/builtup/6.png": mask(np.zeros((8, 8)), "RGB")},
            r"should have an 8-bit class number per pixel\. Found mode RGB",
        ),
        (
            {"label_gray/builtup/6.png": mask(np.full((8, 8), 7))},
            r"`pixels` of `gid_mtl5` should lie in 0\.\.4\. Found",
        ),
        (
            {"image/swamp/1.png": picture(3), "label_gray/swamp/1.png": mask(np.zeros((8, 8)))},
            r"`swamp` in .* is not a class of the data card",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, files, message):
    with pytest.raises(BadInput, match=message):
        open_dataset(mine(tmp_path, **files))


def test_images_without_masks_are_refused(tmp_path):
    write_tree(
        tmp_path,
        {
            name: content
            for name, content in pairs("GID-MTL5", dict.fromkeys(MTL5, 2), 5).items()
            if "/image/" in name
        },
    )
    with pytest.raises(BadInput, match="have no folder `label_gray`"):
        open_dataset(DataConfig(dataset="gid_mtl5", root=tmp_path, size=8))


@pytest.mark.parametrize(
    ("overlap", "message"),
    [
        ("{list: jiont, set: x}", "Did you mean `joint`"),
        ("{file: x, list: a, set: b}", "there is no"),
    ],
)
def test_a_wrong_list_of_groups_is_refused(tmp_path, overlap, message):
    mine(tmp_path)
    card = tmp_path / "mine.yaml"
    text = (datasets_folder() / "gid_mtl5.yaml").read_text()
    card.write_text(
        text.replace("{list: joint, set: gid_mtl5}", overlap).replace(
            "name: gid_mtl5", "name: mine"
        )
    )
    with pytest.raises(BadInput, match=message):
        open_dataset(DataConfig(dataset=str(card), root=tmp_path, size=8))


@pytest.mark.parametrize("keep", ["scene", "pixels"])
def test_cards_may_have_only_one_task(tmp_path, keep):
    mine(tmp_path)
    card = load_card("gid_mtl5")
    card = card.model_copy(
        update={"name": "mine", "tasks": tuple(task for task in card.tasks if task.name == keep)}
    )
    path = tmp_path / "mine.yaml"
    path.write_text(card.model_dump_json())  # JSON is YAML
    dataset = open_dataset(DataConfig(dataset=str(path), root=tmp_path, size=8))
    assert list(dataset.splits["val"].labels) == [keep]


# ---------------------------------------------------------------- the real set, and its replacement


def painted(dataset):
    """Overall accuracy, mean IoU and kappa of predicting the scene's class for every pixel,
    without undefined pixels."""
    count = dataset.card.tasks[0].outputs
    h = np.zeros((count, count))
    for split in dataset.splits.values():
        truth, paint = split.labels["pixels"].numpy(), split.labels["scene"].numpy()[:, None, None]
        for label in range(count):
            h[:, label] += np.bincount(truth[(paint == label) & (truth < count)], minlength=count)
    total, rows, columns = h.sum(), h.sum(1), h.sum(0)
    accuracy, chance = np.trace(h) / total, rows @ columns / total**2
    return (
        100 * accuracy,
        100 * np.mean(np.diag(h) / (rows + columns - np.diag(h))),
        (accuracy - chance) / (1 - chance),
    )


@pytest.mark.skipif(
    not REAL or not Path(REAL, "gid_mtl5_112.zip").is_file(),
    reason="MTSEARCH_DATA names no folder with GID-MTL5",
)
def test_gid_mtl5_itself(tmp_path):
    dataset = open_dataset(
        DataConfig(dataset="gid_mtl5", root=Path(REAL), store=tmp_path, size=112)
    )
    assert sum(counts(dataset)) == 1391
    found = Counter(
        dataset.card.tasks[0].classes[label]
        for split in dataset.splits.values()
        for label in split.labels["scene"].tolist()
    )
    assert found == MTL5
    accuracy, miou, kappa = painted(dataset)
    assert (accuracy, miou, 100 * kappa) == pytest.approx((96.8, 94.2, 95.7), abs=0.5)
    for split in dataset.splits.values():
        shares = torch.stack([(split.labels["pixels"] == label).sum((1, 2)) for label in range(5)])
        assert (shares.argmax(0) == split.labels["scene"]).float().mean() > 0.99
    pixels = (
        open_dataset(DataConfig(dataset="gid_mtl5", root=Path(REAL), store=tmp_path))
        .splits["train"]
        .images.float()
        / 255
    )
    assert pixels.mean((0, 2, 3)).tolist() == pytest.approx(dataset.mean, abs=2e-3)
    assert pixels.std((0, 2, 3)).tolist() == pytest.approx(dataset.std, abs=2e-3)


def test_drawn_scenes_with_masks_stand_in(tmp_path):
    dataset = open_dataset(DataConfig(dataset="gid_mtl15", store=tmp_path))
    assert (
        dataset.label
        == "drawn_scenes_masks (embedded sample, procedural; used in place of gid_mtl15)"
    )
    assert counts(dataset) == (600, 200, 200)
    for split in dataset.splits.values():
        masks = split.labels["pixels"]
        assert masks.dtype == torch.int64 and set(masks.unique().tolist()) == set(range(6))
        shares = torch.stack([(masks == label).sum((1, 2)) for label in range(5)])
        assert (shares.argmax(0) == split.labels["scene"]).all()
    accuracy, miou, _ = painted(dataset)
    assert 60 < accuracy < 85 and miou < 75  # a segmentation can do better than one class per scene
    pixels = dataset.splits["train"].images.float() / 255
    assert pixels.mean((0, 2, 3)).tolist() == pytest.approx(dataset.mean, abs=2e-3)
    assert pixels.std((0, 2, 3)).tolist() == pytest.approx(dataset.std, abs=2e-3)
