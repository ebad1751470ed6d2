"""A data set of many tasks from its files to the tables."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from mtsearch.commands import train
from mtsearch.config.yaml_text import dump_yaml

SPLITS = ("train", "train", "train", "val", "test")


def write_data(folder, names):
    """30 images of noise with a yes or no for each name."""
    rng = np.random.default_rng(0)
    (folder / "noise").mkdir()
    with (folder / "noise" / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", *names, "split"])
        for i in range(30):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "noise" / f"{i:02d}.png")
            table.writerow([f"{i:02d}.png", *rng.integers(0, 2, len(names)), SPLITS[i % 5]])
    card = {
        "name": "many",
        "title": "Many",
        "source": {
            "kind": "table",
            "images": {"title": "Many", "names": ["noise"]},
            "file": "labels.csv",
            "split": "split",
        },
        "tasks": [{"name": name, "outputs": 2} for name in names],
        "shape": [3, 32, 32],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.3, 0.3, 0.3],
        "val_fraction": 0.2,
        "licence": "none",
        "how_to_get": "draw them",
    }
    (folder / "many.yaml").write_text(dump_yaml(card))


@pytest.mark.slow
@pytest.mark.parametrize("count", [40, 60])
def test_many_tasks_are_trained_and_shown(tmp_path, monkeypatch, capsys, count):
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path, [f"attribute_{i:02d}" for i in range(count)])
    (tmp_path / "space.yaml").write_text(
        "name: many\ndata: {dataset: many.yaml, root: ., store: stores}\n"
        "objectives: [val/mean/error, val/worst/error, model/nonzero]\n"
        "trial: {backbone: cm, epochs: {search: 1, retrain: 0}, batch_size: 32}\n"
    )
    assert train.main(["space=space.yaml", "results.run=one"]) == 0
    (line,) = [text for text in capsys.readouterr().out.splitlines() if text.startswith("epoch")]
    assert "val/mean/error" in line and "attribute" not in line and len(line) < 160
    events = (tmp_path / "results" / "many" / "one" / "events.jsonl").read_text().splitlines()
    (report,) = [e["metrics"] for e in map(json.loads, events) if e["event"] == "report"]
    errors = [report[f"val/attribute_{i:02d}/error"] for i in range(count)]
    assert report["val/mean/error"] == pytest.approx(np.mean(errors))
    head = (tmp_path / "results" / "many" / "one" / "front.md").read_text().splitlines()[0]
    assert head.count("|") < 20
