"""Walk-throughs from an empty folder: dense labels in the form of NYUv2 with a backbone from a
file, and 40 tasks in the form of CelebA. The figures of the tables are compared with metrics of
the predictions of an export, computed here by their definitions."""

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mtsearch
from mtsearch.commands.main import main

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from fake import write_tree
from published import celeba, dense
from test_walkthrough_pictures import call

pytestmark = pytest.mark.slow

DENSE = """\
name: rooms
data: {dataset: nyuv2, root: ., size: 64}
objectives: [val/segmentation/error, val/depth/error, val/normal/error]
search: {trials: 2, sampler: random}
trial:
  backbone: {name: torchvision, model: resnet18, weights: resnet18.pth}
  optimizer: {name: adam, lr: {loguniform: [1.0e-3, 2.0e-3], default: 1.0e-3}}
  augment: {flip: true, zoom: 0.33}
  batch_size: 4
  epochs: {search: 0, retrain: 3}
"""
FACES = """\
name: faces
data: {dataset: celeba, root: ., size: 32}
objectives: [val/mean/error, model/latency]
search: {trials: 2, sampler: random}
trial:
  optimizer: {name: adam, lr: {loguniform: [1.0e-4, 1.0e-2], default: 1.0e-3}}
  epochs: {search: 0, retrain: 1}
"""


def searched(folder, space):
    (folder / "space.yaml").write_text(space)
    shown = call(folder, "run", "space=space.yaml")
    return folder / shown.strip().splitlines()[-1].removeprefix("run: ")


def predictions(run, trial, images):
    """The rows of `predict` for an export of a trial, and the folder of its files."""
    assert main(["report", f"run={run}"]) == 0
    assert "report.html" in {path.name for path in run.rglob("*")}
    assert main(["export", f"run={run}", f"pick=trial:{trial}", "out=net"]) == 0
    assert main(["predict", "model=net", f"images={images}", "to=out.csv", "device=cpu"]) == 0
    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert not any(row["error"] for row in rows)
    return rows


def nearest(array, size=64):
    """An array (h, w, ...) scaled by the nearest pixel."""
    rows, columns = (
        np.floor((np.arange(size) + 0.5) * n / size).astype(int) for n in array.shape[:2]
    )
    return array[rows][:, columns]


def dense_metrics(labels, outputs):
    """Metrics of all pixels with a label: of masks, of depths and of vectors."""
    true, found = (np.concatenate([part["label"].ravel() for part in p]) for p in (labels, outputs))
    true, found = true[true >= 0].astype(int), found[true >= 0]
    ious = [
        ((true == c) & (found == c)).sum() / ((true == c) | (found == c)).sum()
        for c in range(13)
        if ((true == c) | (found == c)).any()
    ]
    depth, far = (np.concatenate([part["depth"].ravel() for part in p]) for p in (labels, outputs))
    depth, far = depth[depth > 0], far[depth > 0]
    normal, toward = (
        np.concatenate([part["normal"].reshape(-1, 3) for part in p]) for p in (labels, outputs)
    )
    cosine = (normal * toward).sum(1) / np.linalg.norm(toward, axis=1)
    angles = np.degrees(np.arccos(cosine.clip(-1, 1)))[np.linalg.norm(normal, axis=1) > 0.5]
    with np.errstate(divide="ignore"):
        ratio = np.where(far > 0, np.maximum(far / depth, depth / far), np.inf)
    return {
        "segmentation/error": 100 * (1 - np.mean(ious)),
        "segmentation/pixel_error": 100 * (true != found).mean(),
        "depth/error": np.abs(far - depth).mean(),
        "depth/rel_error": 100 * (np.abs(far - depth) / depth).mean(),
        "depth/rmse": np.sqrt(((far - depth) ** 2).mean()),
        "depth/delta1": 100 * (ratio < 1.25).mean(),
        "normal/error": angles.mean(),
        "normal/median": np.median(angles),
        "normal/within_11": 100 * (angles < 11.25).mean(),
        "normal/within_22": 100 * (angles < 22.5).mean(),
        "normal/within_30": 100 * (angles < 30).mean(),
    }


def test_dense_tasks_with_a_backbone_from_a_file(tmp_path, monkeypatch):
    models = pytest.importorskip("torchvision.models")
    monkeypatch.chdir(tmp_path)
    tree = dense("nyuv2", train=12, val=4)
    write_tree(tmp_path, tree)
    torch.save(models.resnet18().state_dict(), "resnet18.pth")
    assert main(["prepare", "dataset=nyuv2", "data.root=.", "data.size=64"]) == 0
    run = searched(tmp_path, DENSE)
    row = mtsearch.load_run(run).front.to_pandas().iloc[0]
    Path("rooms").mkdir()
    arrays = [
        {
            name: np.load(io.BytesIO(tree[f"nyuv2/val/{name}/{n}.npy"]))
            for name in ("image", "label", "depth", "normal")
        }
        for n in range(4)
    ]
    for number, part in enumerate(arrays):
        pixels = np.rint(part["image"] * 255).astype(np.uint8)
        Image.fromarray(pixels).save(f"rooms/{number}.png")
    found = predictions(run, row["trial"], "rooms")
    outputs = [
        {
            "label": np.asarray(Image.open(cells["segmentation/mask"])),
            "depth": np.load(cells["depth/array"])[0],
            "normal": np.moveaxis(np.load(cells["normal/array"]), 0, -1),
        }
        for cells in found
    ]
    assert outputs[0]["depth"].shape == (64, 64)
    lengths = np.linalg.norm(outputs[0]["normal"], axis=-1)
    assert lengths == pytest.approx(np.ones((64, 64)), abs=1e-4)
    labels = [{name: nearest(array) for name, array in part.items()} for part in arrays]
    expected = dense_metrics(labels, outputs)
    assert {name: row[f"test/{name}"] for name in expected} == pytest.approx(expected, rel=2e-3)
    assert all(np.isfinite(row[f"val/{name}"]) for name in expected)
    assert row["test/depth/delta1"] > 0
    shown = next(json.loads(p.read_text()) for p in run.rglob("*.json") if "masks" in p.read_text())
    assert len(shown["tasks"]["segmentation"]["confusion"]) == 13


def test_forty_tasks_with_mean_error_and_latency(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree, signs = celeba(60)
    write_tree(tmp_path, tree)
    assert main(["prepare", "dataset=celeba", "data.root=.", "data.size=32"]) == 0
    run = searched(tmp_path, FACES)
    row = mtsearch.load_run(run).front.to_pandas().iloc[0]
    names = [f"celeba/img_align_celeba/{n + 1:06d}.jpg" for n in range(40, 60)]
    Path("faces.csv").write_text("\n".join(["path", *names]))
    found = predictions(run, row["trial"], "faces.csv")
    tasks = [key.removesuffix("/label") for key in found[0] if key.endswith("/label")]
    assert len(tasks) == 40 and tasks[0] == "five_o_Clock_Shadow"
    answers = np.array([[int(cells[f"{task}/label"]) for task in tasks] for cells in found])
    errors = 100 * (answers != (signs[40:] > 0)).mean(0)
    assert [row[f"test/{task}/error"] for task in tasks] == pytest.approx(errors.tolist())
    assert row["test/mean/error"] == pytest.approx(errors.mean())
    assert row["model/latency"] > 0 and np.isfinite(row["val/mean/error"])
