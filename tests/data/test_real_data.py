"""The full datasets at the path given by the environment: sizes, balance, and the checksum, which
is equal on every machine."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from mtsearch.config.schema import DataConfig
from mtsearch.data import open_dataset, resolve

ROOT = os.environ.get("MTSEARCH_TEST_DATA")  # what MTSEARCH_DATA was; see tests/conftest.py

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ROOT, reason="MTSEARCH_DATA names no folder with MNIST and CIFAR-10"),
]


@pytest.mark.parametrize(
    ("name", "sizes", "checksum"),
    [
        (
            "multimnist",
            (50_000, 10_000, 10_000),
            "e05928b14330cf3acb55329b45879f926761c3f22c19d66fa66c2394a03c2db6",
        ),
        (
            "mnist",
            (50_000, 10_000, 10_000),
            "5b471b3fce0663a836040c1263c3b28dd3c5b3a37ff751fb41b1090ab42d4a0f",
        ),
        # The bytes may depend on the release of the JPEG decoder.
        ("cifar10_mnist", (40_000, 10_000, 10_000), None),
    ],
)
def test_full_sets(name, sizes, checksum, tmp_path):
    data = DataConfig(dataset=name, root=Path(ROOT), store=tmp_path)
    dataset = open_dataset(data)
    assert tuple(len(dataset.splits[side]) for side in ("train", "val", "test")) == sizes
    assert checksum is None or dataset.checksum == checksum
    assert resolve(data).label == dataset.label
    for split in dataset.splits.values():
        assert split.images.dtype == torch.uint8 and split.images.is_contiguous(
            memory_format=torch.channels_last
        )
        for labels in split.labels.values():
            assert np.bincount(labels.numpy(), minlength=10).min() > len(split) * 0.08
