"""What painting every pixel with its scene's true class scores on GID-MTL5, undefined pixels left out: the ceiling that segmentations of it
are to be read against (97 % of the pixels are right before anything was learned about pixels)."""

import os
from pathlib import Path

import pytest
import torch

from mtsearch.config import schema
from mtsearch.data import open_dataset
from mtsearch.models.painted import CERTAIN, Brush
from mtsearch.tasks import meter_for

ROOT = os.environ.get("MTSEARCH_TEST_DATA")  # what MTSEARCH_DATA was; see tests/conftest.py


@pytest.mark.slow
@pytest.mark.skipif(not ROOT, reason="MTSEARCH_DATA names no folder with GID-MTL5")
def test_the_true_scene_painted_on_all_of_gid_mtl5(tmp_path):
    dataset = open_dataset(schema.DataConfig(dataset="gid_mtl5", size=112, root=Path(ROOT), store=tmp_path))
    scene, pixels = dataset.card.tasks
    brush, meter = Brush(scene, pixels, (112, 112)), meter_for(pixels, torch.device("cpu"))
    images = 0
    for split in dataset.splits.values():
        for truth, masks in zip(split.labels["scene"].split(100), split.labels["pixels"].split(100), strict=True):
            meter.update(brush(CERTAIN * torch.nn.functional.one_hot(truth, scene.outputs).float()), masks)
            images += len(truth)
    figures = meter.compute()
    assert images == 1391
    assert 100 - figures["pixel_error"] == pytest.approx(96.8, abs=0.5)
    assert 100 - figures["error"] == pytest.approx(94.2, abs=0.5)
    assert figures["kappa"] == pytest.approx(0.957, abs=0.005)
