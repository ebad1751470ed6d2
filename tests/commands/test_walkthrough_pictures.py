"""The walk-through of `docs/own_pictures.md`: JPEGs with a class, tags and a number."""

import random
import subprocess
import sys

import pytest
from PIL import Image

import mtsearch

pytestmark = pytest.mark.slow

QUICK = ("search.trials=2", "trial.epochs={search: 1, retrain: 1}", "controls={}")


def draw(folder, count=240):
    random.seed(0)
    folder.mkdir()
    rows = ["file,shape,tags,size"]
    for number in range(count):
        shape, size = random.choice(["disc", "square"]), random.uniform(4, 14)
        tags = [tag for tag in ("red", "big") if random.random() < 0.5]
        colour = (200 if "red" in tags else 20, 200 if shape == "disc" else 30, int(15 * size))
        Image.new("RGB", (random.choice([40, 60]), 48), colour).save(folder / f"{number}.jpg")
        cells = [shape, ";".join(tags) or "-", f"{size:.2f}" if random.random() < 0.8 else ""]
        rows.append(f"{number}.jpg,{','.join(cells)}")
    (folder / "labels.csv").write_text("\n".join(rows))


def call(folder, *words):
    done = subprocess.run(
        [sys.executable, "-m", "mtsearch", *words], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_pictures_with_a_table_are_searched_from_an_empty_folder(tmp_path):
    draw(tmp_path / "pictures")
    found = call(tmp_path, "init", "pictures")
    assert "shape: classification, 2 classes" in found and "tags: multilabel, 2 tags" in found
    assert "missing labels" in call(tmp_path, "prepare", "dataset=pictures.yaml")
    shown = call(tmp_path, "run", "space=pictures_space.yaml", *QUICK)
    run = shown.strip().splitlines()[-1].removeprefix("run: ")
    result = mtsearch.load_run(tmp_path / run)
    row = result.front.to_pandas().iloc[0]
    for metric in ("shape/balanced_accuracy", "tags/f1", "size/r2", "size/mae"):
        assert f"val/{metric}" in row.index
    (prediction,) = result.pick().load().predict([tmp_path / "pictures" / "0.jpg"])
    assert prediction["shape"].label in ("disc", "square")
    assert set(prediction["tags"].value) <= {"red", "big"}
    assert isinstance(prediction["size"].value, float)
    call(tmp_path, "export", f"run={run}", "out=exported")
    assert (tmp_path / "exported" / "model.pt2").exists()
