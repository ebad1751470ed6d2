"""Tables of counts and examples that a test keeps."""

import base64
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import mtsearch
from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.data import Dataset, Split
from mtsearch.jobs.predictions import EXAMPLES, MAX_CLASSES, predictions_of
from mtsearch.runs.attachments import MAX_BYTES, read_logs, read_predictions
from mtsearch.training.evaluation import evaluate
from mtsearch.training.loaders import labelled_batches

CPU = torch.device("cpu")
NAN = float("nan")


def trial_of(tasks, labels, outputs, size=8, channels=3):
    """A trial whose network answers `outputs` by the number in an image's first pixel."""
    count = len(next(iter(labels.values())))
    noise = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, channels, size, size), dtype=torch.uint8, generator=noise)
    images[:, 0, 0, 0] = torch.arange(count)
    card = DatasetCard(
        name="made", source={"kind": "table"}, tasks=tasks, shape=(channels, size, size)
    )
    moments = (0.0,) * channels, (1.0,) * channels
    data = Dataset(card, "made", {"test": Split(images, labels)}, *moments, checksum="")

    class Network(torch.nn.Module):
        def predict(self, x, labels, names):
            place = (x[:, 0, 0, 0] * 255).round().long()
            return {name: outputs[name][place] for name in names}

    return SimpleNamespace(
        dataset=data,
        tasks=tasks,
        device=CPU,
        config=SimpleNamespace(precision="float32"),
        selected_model=Network,
    )


def examined(tasks, labels, outputs, **more):
    trial, tables = trial_of(tasks, labels, outputs, **more), {}
    parts = labelled_batches(trial.dataset, trial.dataset.splits["test"], tasks, CPU)
    metrics = evaluate(trial.selected_model(), parts, CPU, tables=tables)
    found = predictions_of(trial, tables)
    json.dumps(found, allow_nan=False)
    return found, metrics


def pixels(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def one_hot(classes, outputs):
    return 5 * torch.nn.functional.one_hot(torch.tensor(classes), outputs).float()


def test_confusion_counts_each_labelled_image_once():
    task = TaskCard(name="a", outputs=3, classes=("x", "y", "z"))
    truth, answer = [0, 0, 1, 2, -1, 2], [0, 1, 1, 2, 0, 0]
    found, metrics = examined((task,), {"a": torch.tensor(truth)}, {"a": one_hot(answer, 3)})
    entry = found["tasks"]["a"]
    assert entry["confusion"] == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert metrics["a/error"] == pytest.approx(40)
    assert [(e["truth"], e["answer"]) for e in entry["examples"]] == [
        (t, a) for t, a in zip(truth, answer, strict=True) if t >= 0
    ]
    assert entry["examples"][0]["share"] == pytest.approx(0.9867, abs=1e-4)
    assert entry["classes"] == ["x", "y", "z"]


def test_examples_are_spread_over_the_labelled_images():
    task = TaskCard(name="a", outputs=2)
    labels = torch.tensor([-1, *[i % 2 for i in range(99)]])
    found, _ = examined((task,), {"a": labels}, {"a": one_hot([0] * 100, 2)})
    truths = [e["truth"] for e in found["tasks"]["a"]["examples"]]
    places = np.linspace(1, 99, EXAMPLES).round().astype(int)
    assert truths == labels[places].tolist() and len(found["images"]) == EXAMPLES


def test_every_kind_has_examples():
    tasks = (
        TaskCard(name="tags", kind="multilabel", outputs=3),
        TaskCard(name="age", kind="regression", outputs=1),
        TaskCard(name="grade", kind="ordinal", outputs=3),
        TaskCard(name="clean", kind="restoration", outputs=3),
    )
    labels = {
        "tags": torch.tensor([[1, 0, NAN], [0, 1, 1]]),
        "age": torch.tensor([[3.0], [NAN]]),
        "grade": torch.tensor([2, 1]),
        "clean": torch.full((2, 3, 8, 8), 255, dtype=torch.uint8),
    }
    outputs = {
        "tags": torch.tensor([[1.0, 1, -1], [-1, 1, -1]]),
        "age": torch.tensor([[2.5], [9]]),
        "grade": torch.tensor([[1.0, 1], [-1, -1]]),
        "clean": torch.zeros(2, 3, 8, 8),
    }
    found, _ = examined(tasks, labels, outputs)
    entries = found["tasks"]
    assert entries["tags"]["counts"] == [[1, 0, 0, 2], [1, 1, 0, 2], [0, 0, 1, 1]]
    assert [(e["truth"], e["answer"]) for e in entries["tags"]["examples"]] == [
        ([0], [0, 1]),
        ([1, 2], [1]),
    ]
    assert [(e["truth"], e["answer"]) for e in entries["age"]["examples"]] == [([3.0], [2.5])]
    assert entries["grade"]["confusion"] == [[0, 0, 0], [1, 0, 0], [0, 0, 1]]
    example = entries["clean"]["examples"][0]
    assert (pixels(found["images"][example["truth"]]) == 255).all()
    assert (pixels(found["images"][example["answer"]]) == 0).all()


def test_masks_show_the_class_of_each_pixel():
    task = TaskCard(name="s", kind="segmentation", outputs=2, classes=("ground", "roof"), ignore=2)
    truth = torch.zeros(1, 8, 8, dtype=torch.long)
    truth[0, :, 4:], truth[0, 7] = 1, 2
    output = torch.stack([torch.ones(8, 8), torch.zeros(8, 8)])[None]
    found, _ = examined((task,), {"s": truth}, {"s": output})
    entry = found["tasks"]["s"]
    assert entry["confusion"] == [[28, 0], [28, 0]]
    colours = {place: tuple(bytes.fromhex(colour[1:])) for place, colour in entry["masks"]}
    (example,) = entry["examples"]
    image = Image.open(
        io.BytesIO(base64.b64decode(found["images"][example["truth"]].partition(",")[2]))
    ).convert("RGBA")
    assert image.getpixel((0, 0)) == (*colours[0], 255)
    assert image.getpixel((5, 0)) == (*colours[1], 255) and image.getpixel((0, 7))[3] == 0


def test_large_tables_are_left_out():
    classes = MAX_CLASSES + 1
    task = TaskCard(name="a", outputs=classes)
    found, _ = examined((task,), {"a": torch.arange(4)}, {"a": one_hot([0, 1, 2, 3], classes)})
    assert "confusion" not in found["tasks"]["a"] and len(found["tasks"]["a"]["examples"]) == 4


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_images_of_any_channels_are_shown(channels):
    task = TaskCard(name="a", outputs=2)
    found, _ = examined(
        (task,), {"a": torch.tensor([0])}, {"a": one_hot([1], 2)}, channels=channels
    )
    shown = pixels(found["images"][0])
    assert shown.shape[:2] == (8, 8)
    assert (shown.ndim == 3 and bool(np.ptp(shown, axis=2).any())) == (channels == 5)


def test_many_tasks_with_images_of_their_own_stay_small():
    tasks = tuple(TaskCard(name=f"t{i}", outputs=2) for i in range(30))
    labels = {t.name: torch.full((60,), -1) for t in tasks}
    for i, task in enumerate(tasks):
        labels[task.name][2 * i : 2 * i + 2] = 1
    outputs = {t.name: one_hot([0] * 60, 2) for t in tasks}
    found, _ = examined(tasks, labels, outputs, size=200)
    assert len(found["images"]) == 60 and len(json.dumps(found)) < MAX_BYTES
    assert all(len(task["examples"]) == 2 for task in found["tasks"].values())


SPACE = """
name: line
data: {dataset: patches10_digits, limit: 200}
objectives: [val/image/error, val/digit/error]
trial:
  epochs: {search: 1, retrain: 0}
"""


def train(folder, **overrides):
    (folder / "line.yaml").write_text(SPACE)
    overrides |= {"results.root": str(folder / "runs")}
    return mtsearch.train_one(folder / "line.yaml", overrides=overrides, test=True, progress=False)


def test_a_training_keeps_predictions_beside_its_events(tmp_path):
    run = train(tmp_path)
    (name,) = found = read_predictions(run.directory.path)
    table = np.array(found[name]["tasks"]["digit"]["confusion"])
    assert name == "0000"
    error = 100 - 100 * np.trace(table) / table.sum()
    assert error == pytest.approx(run.trials[0]["test/digit/error"])
    assert len(found[name]["tasks"]["digit"]["examples"]) == EXAMPLES
    assert "data:image" not in (run.directory.path / "events.jsonl").read_text()
    assert read_logs(run.directory.path) == {}


def test_a_failure_keeps_the_end_of_its_traceback(tmp_path):
    train(tmp_path, **{"trial.optimizer": "{name: sgd, lr: 1.0e+30}"})
    (path,) = (tmp_path / "runs").glob("*/*")
    (log,) = read_logs(path).values()
    assert "Diverged" in log.splitlines()[-1] and 'File "mtsearch/' in log
    assert "Traceback" in log and str(tmp_path) not in log
