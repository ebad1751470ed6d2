"""Degraded images with the original images as targets (mto.md 2.4): inputs, targets, and their
common augmentation."""

import math

import numpy as np
import pytest
import torch
import yaml
from fake import colours, image_files, write_tree
from PIL import Image

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import Augment, DataConfig
from mtsearch.data import Batches, open_dataset
from mtsearch.data.builders.degraded import coarsened, noisy
from mtsearch.data.splits import stream

TASK = {"name": "restored", "kind": "restoration", "outputs": 1}


def card(folder, name="worse", **changes):
    tree = {
        "name": name,
        "title": "Degraded",
        "source": {
            "kind": "degraded",
            "images": {"title": "CIFAR-10", "names": ["cifar10"]},
            "how": "super_resolution",
            "factor": 2,
        },
        "tasks": [TASK],
        "shape": [1, 32, 32],
        "mean": [0.0],
        "std": [1.0],
        "val_fraction": 0.2,
        "licence": "none",
        "how_to_get": "make them",
    }
    source = tree["source"] | changes.pop("source", {})
    path = folder / f"{name}.yaml"
    path.write_text(
        yaml.safe_dump(
            tree | {"source": {k: v for k, v in source.items() if v is not None}} | changes
        )
    )
    return str(path)


def opened(root, path, **changes):
    return open_dataset(DataConfig(dataset=path, root=root, **changes))


NOISE = {"how": "denoise", "factor": None, "sigma": 20}


def test_targets_are_luma_and_inputs_are_degraded(tmp_path):
    write_tree(tmp_path, image_files())
    dataset = opened(tmp_path, card(tmp_path))
    assert {name: len(split) for name, split in dataset.splits.items()} == {
        "train": 40,
        "val": 10,
        "test": 20,
    }
    lumas = {np.asarray(Image.fromarray(image).convert("L")).tobytes() for image in colours(50)[0]}
    for name in ("train", "val"):
        split = dataset.splits[name]
        targets = split.labels["restored"]
        assert targets.dtype == torch.uint8 and targets.shape == split.images.shape
        for seen, target in zip(split.images, targets, strict=True):
            assert target.numpy().tobytes() in lumas
            lumas.remove(target.numpy().tobytes())
            small = Image.fromarray(target[0].numpy()).resize((16, 16), Image.Resampling.BICUBIC)
            assert (
                seen[0].numpy() == np.asarray(small.resize((32, 32), Image.Resampling.BICUBIC))
            ).all()
    assert not lumas  # each once


def test_noise_is_independent_of_the_split(tmp_path):
    write_tree(tmp_path, image_files())
    path = card(tmp_path, source=NOISE)
    found = []
    for seed, fraction in ((1, 0.2), (2, 0.5)):
        splits = opened(tmp_path, path, split_seed=seed, val_fraction=fraction).splits
        pairs = zip(
            *(
                torch.cat([f(splits[s]) for s in ("train", "val")])
                for f in (lambda s: s.labels["restored"], lambda s: s.images)
            ),
            strict=True,
        )
        found.append(
            {
                target.numpy().tobytes(): seen.contiguous().numpy().tobytes()
                for target, seen in pairs
            }
        )
    assert found[0] == found[1] and len(found[0]) == 50
    other = opened(tmp_path, card(tmp_path, "other", source=NOISE | {"seed": 3})).splits["test"]
    assert not torch.equal(other.images, splits["test"].images) and torch.equal(
        other.labels["restored"], splits["test"].labels["restored"]
    )


def test_noise_has_the_deviation_that_was_asked_for():
    grey = np.full((4, 1, 64, 64), 128, np.uint8)
    difference = noisy(grey, 20, stream(0)).astype(float) - 128
    assert abs(difference.std() - 20) < 0.5 and abs(difference.mean()) < 0.5
    assert (noisy(grey, 20, stream(0)) == noisy(grey, 20, stream(0))).all()
    white = noisy(np.full((1, 1, 64, 64), 255, np.uint8), 20, stream(0))
    assert white.max() == 255 and white.min() > 128  # clipped, not wrapped


def test_coarsening_keeps_flat_images_and_loses_fine_detail():
    flat = np.full((1, 3, 16, 16), 77, np.uint8)
    assert (coarsened(flat, 4) == flat).all()
    board = ((np.indices((16, 16)).sum(0) % 2) * 255).astype(np.uint8)[None, None]
    assert coarsened(board, 2).std() < 0.1 * board.std()


def test_all_tasks_have_the_same_target_image(tmp_path):
    write_tree(tmp_path, image_files())
    tasks = [TASK | {"loss": "l1"}, TASK | {"name": "other", "loss": "ssim"}]
    split = opened(tmp_path, card(tmp_path, tasks=tasks)).splits["val"]
    assert torch.equal(split.labels["restored"], split.labels["other"])


def test_store_is_independent_of_task_losses(tmp_path):
    write_tree(tmp_path, image_files())
    first = opened(tmp_path, card(tmp_path))
    card(tmp_path, tasks=[TASK | {"loss": "ssim"}])
    again = opened(tmp_path, str(tmp_path / "worse.yaml"))
    assert again.checksum == first.checksum and again.card.tasks[0].loss == "ssim"
    assert again.splits["train"].images.data_ptr() == first.splits["train"].images.data_ptr()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": {"factor": None}}, "should have `factor` and no `sigma`"),
        ({"source": NOISE | {"factor": 2}}, "should have `sigma` and no `factor`"),
        ({"source": {"seed": 1}}, "does not use `seed`"),
        ({"source": {"factor": 3}}, "multiple of `factor: 3`"),
        ({"tasks": [TASK | {"kind": "regression"}]}, "should be a restoration with 1 output"),
        ({"tasks": [TASK | {"outputs": 3}]}, "should be a restoration with 1 output"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(tmp_path, changes, message):
    write_tree(tmp_path, image_files())
    with pytest.raises(BadInput, match=message):
        opened(tmp_path, card(tmp_path, **changes))


# ---------------------------------------------------------- batches of images with images as labels


def test_targets_are_stored_as_bytes_returned_as_floats(tmp_path):
    write_tree(tmp_path, image_files())
    dataset = opened(tmp_path, card(tmp_path))
    split = dataset.splits["val"]
    assert split.labelled(dataset.card.tasks[0]).all()
    assert split.labels["restored"].dtype == torch.uint8
    for generator in (None, torch.Generator().manual_seed(0)):
        batches = Batches(split, batch_size=4, mean=[0.0], std=[1.0], generator=generator)
        labels = torch.cat([labels["restored"] for _, labels in batches])
        assert labels.dtype == torch.float32 and labels.shape == (10, 1, 32, 32)
        assert sorted((labels * 255).round().flatten(1).sum(1).tolist()) == sorted(
            split.labels["restored"].float().flatten(1).sum(1).tolist()
        )


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_augmentation_moves_target_and_image_together(tmp_path, layout):
    write_tree(tmp_path, image_files())
    split = opened(tmp_path, card(tmp_path)).splits["train"]
    same = type(split)(split.labels["restored"], split.labels)  # the original image as the input
    batches = Batches(
        same,
        batch_size=16,
        mean=[0.0],
        std=[1.0],
        generator=torch.Generator().manual_seed(0),
        augment=Augment(rotation=20, crop=4, flip=True),
        memory_format=layout,
    )
    outside = 0
    for images, labels in batches:
        known = ~torch.isnan(labels["restored"])
        torch.testing.assert_close(images[known], labels["restored"][known])
        assert (images[~known] == 0).all()
        outside += int((~known).sum())
    assert outside > 0 and math.isfinite(float(images.sum()))


def test_the_samples_open(tmp_path):
    for name, tasks in (("patches10_sr", 1), ("patches10_denoise", 1), ("patches10_sr_losses", 3)):
        dataset = open_dataset(DataConfig(dataset=name, store=tmp_path))
        assert len(dataset.card.tasks) == tasks and len(dataset.splits["test"]) == 560
        split = dataset.splits["test"]
        assert not torch.equal(split.images, split.labels["restored"])
    assert open_dataset(DataConfig(dataset="rsscn7_sr_losses", store=tmp_path)).label.endswith(
        "used in place of rsscn7_sr_losses)"
    )
