"""Conformance suite for datasets, their cards and builders."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import ClassVar

import torch

from mtsearch.config.metrics import has_values
from mtsearch.config.schema import DataConfig
from mtsearch.data import Dataset, open_dataset, prepare, resolve
from mtsearch.data.decoding_pool import count_pixels
from mtsearch.data.store import read_manifest, verify
from mtsearch.data.stored import in_memory
from mtsearch.data.summary import pixel_statistics
from mtsearch.data.types import SPLITS, Split


class DatasetConformance:
    """Tests of a dataset. Set `data`. The dataset must be prepared, or its source files must be
    available.

    Attributes:
        data: the dataset, by the name or the path of its card.
        statistics: largest accepted difference of the card's mean and std from those of the
            training images.
    """

    data: DataConfig
    statistics: float = 0.05

    _open: ClassVar[dict[type, Dataset]] = {}

    def opened(self, folder: Path) -> Dataset:
        """Return the dataset. The first call builds its store in `folder`."""
        if type(self) not in self._open:
            self._open[type(self)] = open_dataset(self.at(folder))
        return self._open[type(self)]

    def at(self, folder: Path) -> DataConfig:
        """Return the configuration with its store in `folder`."""
        return self.data.model_copy(update={"store": folder})

    def test_the_splits_hold_what_the_card_says(self, tmp_path: Path) -> None:
        dataset = self.opened(tmp_path)
        card = dataset.card
        assert set(dataset.splits) == set(SPLITS)
        for name, split in dataset.splits.items():
            assert len(split) and split.images.dtype == torch.uint8, (
                f"{name} should contain images of bytes"
            )
            assert tuple(split.images.shape[1:]) == card.shape, (
                f"{name} should be of shape {card.shape}. Found {split.images.shape[1:]}"
            )
            assert set(split.labels) == {task.name for task in card.tasks}, (
                f"{name} has labels for {sorted(split.labels)}"
            )

    def test_the_labels_are_in_range_and_there(self, tmp_path: Path) -> None:
        dataset = self.opened(tmp_path)
        for name, split in dataset.splits.items():
            for task in dataset.card.tasks:
                labels = in_memory(split.labels[task.name])
                assert len(labels) == len(split), (
                    f"`{task.name}` of {name} has {len(labels)} labels for {len(split)} images"
                )
                assert bool(split.labelled(task).any()), (
                    f"no image of {name} has a label for `{task.name}`"
                )
                if has_values(task.kind):
                    picture = labels.dtype == torch.uint8
                    assert picture or (
                        labels.is_floating_point() and not bool(torch.isinf(labels).any())
                    ), f"`{task.name}` should have finite floats, or bytes of pictures"
                    continue
                known = labels[labels != task.ignore]
                assert (
                    not labels.is_floating_point()
                    and int(known.min()) >= 0
                    and int(known.max()) < task.outputs
                ), (
                    f"labels of `{task.name}` in {name} should lie in 0..{task.outputs - 1}. Found"
                    f" {int(known.min())}..{int(known.max())}"
                )

    def test_splits_share_no_image(self, tmp_path: Path) -> None:
        hashes = {
            name: _image_hashes(split) for name, split in self.opened(tmp_path).splits.items()
        }
        for one, two in (("train", "val"), ("train", "test"), ("val", "test")):
            assert not hashes[one] & hashes[two], (
                f"{len(hashes[one] & hashes[two])} images of {one} are in {two} too"
            )

    def test_the_same_card_makes_the_same_store(self, tmp_path: Path) -> None:
        first = self.opened(tmp_path / "one")
        path = prepare(self.at(tmp_path / "two"))
        manifest = read_manifest(path)
        verify(path, manifest)
        assert first.checksum == manifest["checksum"], "two stores of the same card differ"
        assert resolve(self.at(tmp_path / "two")).checksum == manifest["checksum"]

    def test_split_seed_does_not_change_test_images(self, tmp_path: Path) -> None:
        first = self.opened(tmp_path).splits
        second = open_dataset(
            self.at(tmp_path / "other").model_copy(update={"split_seed": self.data.split_seed + 1})
        ).splits
        assert _image_hashes(first["test"]) == _image_hashes(second["test"]), (
            "`data.split_seed` changes the images of the test split"
        )
        assert _image_hashes(first["val"]) != _image_hashes(second["val"]), (
            "`data.split_seed` has no effect"
        )

    def test_card_statistics_match_the_training_images(self, tmp_path: Path) -> None:
        dataset = self.opened(tmp_path)
        mean, std = pixel_statistics(
            count_pixels(in_memory(dataset.splits["train"].images).numpy())
        )
        found = {"mean": mean, "std": std}
        for name, given in (("mean", dataset.mean), ("std", dataset.std)):
            far = max(abs(a - b) for a, b in zip(given, found[name], strict=True))
            assert far <= self.statistics, (
                f"the card's {name} is {list(given)}; that of the training images is {found[name]}"
            )


def _image_hashes(split: Split) -> set[bytes]:
    """Return a hash of each image."""
    images = in_memory(split.images).contiguous().numpy()
    return {hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images}
