"""Metrics of the broadcast-scene baseline with ground-truth scenes on GID-MTL5 and GID-MTL15,
without undefined pixels. They are the reference for segmentation metrics: 97 % and 88 % of the
pixels are right without any training."""

import os
from pathlib import Path

import pytest
import torch

from mtsearch.config import schema
from mtsearch.config.errors import BadInput
from mtsearch.data import open_dataset
from mtsearch.models.broadcast_scene import KNOWN_LOGIT, SceneToPixels
from mtsearch.tasks import meter_for

ROOT = os.environ.get("MTSEARCH_TEST_DATA")  # what MTSEARCH_DATA was; see tests/conftest.py


@pytest.mark.slow
@pytest.mark.skipif(not ROOT, reason="MTSEARCH_DATA names no folder with GID-MTL")
@pytest.mark.parametrize(
    ("name", "count", "accuracy", "miou", "kappa"),
    [("gid_mtl5", 1391, 96.8, 94.2, 0.957), ("gid_mtl15", 767, 87.9, 78.7, 0.870)],
)
def test_labelled_scene_metrics_of_a_whole_split(name, count, accuracy, miou, kappa, tmp_path):
    try:
        dataset = open_dataset(
            schema.DataConfig(dataset=name, size=112, root=Path(ROOT), store=tmp_path)
        )
    except BadInput as missing:
        pytest.skip(str(missing))
    scene, pixels = dataset.card.tasks
    to_pixels, meter = (
        SceneToPixels(scene, pixels, (112, 112)),
        meter_for(pixels, torch.device("cpu")),
    )
    images = 0
    for split in dataset.splits.values():
        for truth, masks in zip(
            split.labels["scene"].split(100), split.labels["pixels"].split(100), strict=True
        ):
            meter.update(
                to_pixels(KNOWN_LOGIT * torch.nn.functional.one_hot(truth, scene.outputs).float()),
                masks,
            )
            images += len(truth)
    figures = meter.compute()
    assert images == count
    assert 100 - figures["pixel_error"] == pytest.approx(accuracy, abs=0.5)
    assert 100 - figures["error"] == pytest.approx(miou, abs=0.5)
    assert figures["kappa"] == pytest.approx(kappa, abs=0.005)
