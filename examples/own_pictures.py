"""Two tasks on your own images: a data card, a space, one training, predictions.

The data are drawn here; replace `draw` with your folder and its CSV. Usage:
python examples/own_pictures.py [FOLDER]
"""

import csv
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

import mtsearch

CARD = """
name: shapes
title: Shapes
source:
  kind: table
  images: {title: Shapes, names: [shapes], resize: bilinear}
  file: labels.csv
  split: split
tasks:
  - {name: shape, outputs: 2, classes: [disc, square]}
  - {name: size, kind: regression, outputs: 1}
shape: [3, 32, 32]
mean: [0.25, 0.24, 0.17]
std: [0.24, 0.21, 0.05]
val_fraction: 0.2
licence: your own
how_to_get: draw them
"""

SPACE = """
description: Shape and size.
objectives: [val/shape/error, val/size/error]
search: {trials: 12}
trial:
  architecture: {choice: [hps, mdmtn], default: hps}
  backbone: cm
  preference: {simplex: [shape, size], default: equal}
  epochs: {search: 3, retrain: 0}
  batch_size: 32
controls:
  stl: {architecture: stl}
"""


def draw(folder: Path, count: int = 300) -> None:
    random.seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "shape", "size", "split"])
        for number in range(count):
            shape, size = random.choice(["disc", "square"]), random.uniform(4, 14)
            picture = Image.new("RGB", (32, 32), (30, 30, 40))
            corner = random.uniform(0, 31 - size)
            box = [corner, corner, corner + size, corner + size]
            pen = ImageDraw.Draw(picture)
            (pen.ellipse if shape == "disc" else pen.rectangle)(box, fill=(200, 180, 60))
            picture.save(folder / f"{number:03d}.png")
            split = "test" if number >= 0.8 * count else "train"
            table.writerow([f"{number:03d}.png", shape, round(size, 2), split])


folder = Path(sys.argv[1] if len(sys.argv) > 1 else "shapes_example")
draw(folder / "data" / "shapes")
(folder / "shapes.yaml").write_text(CARD)
(folder / "space.yaml").write_text(SPACE)
run = mtsearch.train_one(
    folder / "space.yaml",
    overrides={
        "data.dataset": str(folder / "shapes.yaml"),
        "data.root": str(folder / "data"),
        "results.root": str(folder / "results"),
    },
)
print(run.history.to_pandas()[["epoch", "val/shape/error", "val/size/error"]])
model = run.pick().load()
(found,) = model.predict([folder / "data" / "shapes" / "250.png"])
print(found["shape"].label, round(found["shape"].probability, 3), round(found["size"].value, 2))
