"""Predictions of image files as a table, with an export and from Python."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from networks import DENSE, trained
from PIL import Image

from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.data import Dataset, Split
from mtsearch.deploy import export_model
from mtsearch.deploy.examples import ImageFiles
from mtsearch.deploy.exported import Deployed, open_export
from mtsearch.deploy.image_lists import image_files
from mtsearch.deploy.prediction_rows import RowMaker
from mtsearch.deploy.prediction_table import predict_table
from mtsearch.deploy.predictor import Predictor
from mtsearch.deploy.preprocessing import Preprocessing


def of(export, files):
    """Image files as the export reads them."""
    return ImageFiles(files, open_export(export, CPU).preprocessing)


CPU = torch.device("cpu")


def dataset(shape, tasks=DENSE, source=None):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (16, *shape), dtype=torch.uint8, generator=generator)
    card = DatasetCard(
        name="tiny",
        title="Tiny",
        source=source or {"kind": "classification", "images": {"resize": "bicubic"}},
        tasks=tuple(tasks),
        shape=shape,
        mean=(0.4,) * shape[0],
        std=(0.25,) * shape[0],
        val_fraction=0.2,
        licence="CC0-1.0",
        how_to_get="make it",
    )
    split = Split(images, {task.name: torch.zeros(16, dtype=torch.int64) for task in tasks})
    return Dataset(
        card, "tiny", dict.fromkeys(("train", "val", "test"), split), card.mean, card.std, "abc"
    )


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    model, shape = trained("mdmtn", "cm", DENSE)
    data = dataset(shape)
    out = export_model(model, data, DENSE, tmp_path_factory.mktemp("e") / "out", {})
    return out, Predictor(model.eval(), data, DENSE)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    (folder / "more").mkdir()
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 256, (50, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / ("more" if number > 2 else "") / f"p{number}.png")
    (folder / "bad.jpg").write_bytes(b"no image")
    (folder / "notes.md").write_text("no image")
    return folder


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_table_equals_predictions_from_python(export, photos, tmp_path, ending):
    out, predictor = export
    files = image_files(photos)
    assert [path.name for path in files] == [
        "bad.jpg",
        "p0.png",
        "p1.png",
        "p2.png",
        "p3.png",
        "p4.png",
    ]
    done = predict_table(open_export(out, CPU), of(out, files), tmp_path / f"t{ending}", batch=2)
    assert (done.images, done.failed) == (6, 1)
    assert "bad.jpg cannot be read" in done.reason
    rows = {
        ".csv": lambda path: list(csv.DictReader(path.open())),
        ".jsonl": lambda path: [json.loads(line) for line in path.open()],
        ".parquet": lambda path: pq.read_table(path).to_pylist(),
    }[ending](done.table)
    assert [row["path"] for row in rows] == [str(path) for path in files]
    assert "cannot be read" in rows[0]["error"] and not rows[0]["image/label"]
    for row, found in zip(rows[1:], predictor.predict(files[1:]), strict=True):
        assert row["image/label"] == found["image"].label
        assert float(row["digit/p/3"]) == pytest.approx(found["digit"].probabilities["3"], abs=1e-5)
        mask = np.asarray(Image.open(tmp_path / row["pixels/mask"]))
        assert (mask == found["pixels"].value.numpy()).mean() > 0.999
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"t{ending}", "t_masks"]
    again = predict_table(open_export(out, CPU), of(out, files[1:]), done.table)
    assert len(list((again.files / "pixels").iterdir())) == 5


def test_failure_leaves_no_file(export, photos, tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_table(
            open_export(export[0], CPU),
            of(export[0], image_files(photos)),
            tmp_path / "t.csv",
            2,
            stop,
        )
    (tmp_path / "u_masks").mkdir()
    (tmp_path / "u_masks" / "mine.txt").touch()
    with pytest.raises(BadInput, match="exists and is not of earlier masks"):
        predict_table(
            open_export(export[0], CPU), of(export[0], image_files(photos)), tmp_path / "u.csv"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["u_masks"]


def test_lists_and_tables_name_images(photos, tmp_path):
    names = [photos / "p0.png", photos / "more" / "p3.png"]
    (tmp_path / "list.txt").write_text(f"{names[0]}\n\n{names[1]}\n")
    (tmp_path / "list.csv").write_text(f"id,path\n1,{names[0]}\n2,{names[1]}\n")
    (tmp_path / "semicolons.csv").write_text(f"id;photo\n1;{names[0]}\n2;{names[1]}\n")
    (tmp_path / "bare.csv").write_text("a.png\nb.png\n")
    table = {"id": [1, 2], "image": [str(name) for name in names]}
    pq.write_table(pa.table(table), tmp_path / "list.parquet")
    for name, column in [
        ("list.txt", None),
        ("list.csv", None),
        ("semicolons.csv", "photo"),
        ("list.parquet", None),
        ("list.parquet", "image"),
    ]:
        assert image_files(tmp_path / name, column) == names, name
    assert image_files(names[0]) == names[:1]
    (tmp_path / "empty").mkdir()
    for name, column, sentence in [
        ("list.csv", "pathe", "Did you mean `path`"),
        ("list.parquet", "id", "should contain paths"),
        ("list.txt", "path", "`column` is for tables"),
        ("empty", None, "names no image"),
        ("none", None, "Found no"),
        ("semicolons.csv", None, "Name the one"),
        ("bare.csv", None, "should name the columns"),
    ]:
        with pytest.raises(BadInput, match=sentence):
            image_files(tmp_path / name, column)


def test_damaged_exports_are_refused(export, tmp_path):
    card = json.loads((export[0] / "card.json").read_text())

    def refused(sentence, **changes):
        folder = tmp_path / "e"
        shutil.copytree(export[0], folder, dirs_exist_ok=True)
        (folder / "card.json").write_text(json.dumps({**card, **changes}))
        with pytest.raises(BadInput, match=sentence):
            predict_table(
                open_export(folder, CPU), of(folder, [tmp_path / "x.png"]), tmp_path / "t.csv"
            )

    steps = card["preprocess"]
    for wrong in [
        {**steps, "crop": "left"},
        {**steps, "channels": "CMYK"},
        {**steps, "resize": {"height": 1e9, "width": 3, "filter": "box"}},
        {**steps, "resize": []},
        {**steps, "mean": [0.1]},
        {**steps, "std": "abc"},
        7,
    ]:
        refused("`preprocess` of", preprocess=wrong)
    refused("names no tasks", tasks={})
    refused("the task `a`", tasks={"a": 3})
    refused("the task `a`", tasks={"a": {"kind": "none", "outputs": 2}})
    refused("output of the task `a`", tasks={"a": {"kind": "classification", "outputs": 2}})
    refused("output of the task `image`", tasks={"image": {"kind": "classification", "outputs": 9}})
    refused("no checksum", files={})
    refused("is damaged", files={"model.pt2": {"sha256": "0"}})
    old = {key: value for key, value in card.items() if key != "preprocess"}
    (tmp_path / "e" / "card.json").write_text(json.dumps(old))
    with pytest.raises(BadInput, match="an older version wrote it"):
        open_export(tmp_path / "e", CPU)
    for text in ("", "[]", "{", "[" * 100_000):
        (tmp_path / "e" / "card.json").write_text(text)
        with pytest.raises(BadInput, match=r"card.json"):
            open_export(tmp_path / "e", CPU)
    with pytest.raises(BadInput, match="is not an export"):
        open_export(tmp_path / "none", CPU)


def test_rows_of_ordinals_and_multilabels():
    tasks = (
        TaskCard(name="size", kind="ordinal", outputs=3, classes=("s", "m", "l")),
        TaskCard(name="tags", kind="multilabel", outputs=2, classes=("a", "b")),
    )
    logits = {
        "size": torch.tensor([[1.0, -1.0], [-1.0, -2.0]]),
        "tags": torch.tensor([[0.0, -1.0], [2.0, 1.0]]),
    }
    network = Deployed(
        lambda pixels: {k: v[: len(pixels)] for k, v in logits.items()},
        tasks,
        Preprocessing.of(dataset((3, 4, 4))),
        CPU,
    )
    maker = RowMaker(network, "files")
    assert list(maker.columns) == [
        "path",
        "error",
        "size/label",
        "tags/tags",
        "tags/p/a",
        "tags/p/b",
    ]
    pixels = torch.zeros(3, 4, 4, dtype=torch.uint8)
    rows = maker.rows({0: pixels, 1: pixels}, ["x", "y"], 0, Path())
    assert [rows[i]["size/label"] for i in (0, 1)] == ["m", "s"]
    assert [rows[i]["tags/tags"] for i in (0, 1)] == ["-", "a;b"]
    shares = [rows[i][f"tags/p/{tag}"] for i in (0, 1) for tag in "ab"]
    assert shares == pytest.approx([0.5, 0.2689414, 0.8807971, 0.7310586])
