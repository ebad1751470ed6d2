"""Metrics of single classes, and their mean F1, against scikit-learn."""

import pytest
import torch
from sklearn.metrics import f1_score, recall_score

from mtsearch.config.cards import TaskCard
from mtsearch.config.metrics import metric_of
from mtsearch.pareto.columns import label
from mtsearch.pareto.delta import measures_of
from mtsearch.tasks import meter_for

CPU = torch.device("cpu")
NAMES = ("aGrass", "bField", "error", "in/out")


def metered(classes=(), outputs=4, missing=None, seed=0, count=200):
    noise = torch.Generator().manual_seed(seed)
    task = TaskCard(name="scene", outputs=outputs, classes=classes)
    output, target = (
        torch.randn(count, outputs, generator=noise),
        torch.randint(0, outputs, (count,), generator=noise),
    )
    if missing is not None:
        target[target == missing] = 0
    target[::9] = -1
    meter = meter_for(task, CPU)
    for part in range(0, count, 64):
        meter.update(output[part : part + 64], target[part : part + 64])
    kept = target != -1
    return meter, target[kept].numpy(), output.argmax(1)[kept].numpy()


@pytest.mark.parametrize("missing", [None, 2])
def test_class_accuracy_is_recall_of_occurring_classes(missing):
    meter, truth, guess = metered(NAMES, missing=missing)
    found = meter.by_class()
    assert list(found) == [f"accuracy/{name}" for c, name in enumerate(NAMES) if c != missing]
    occurring = [c for c in range(4) if c != missing]
    assert list(found.values()) == pytest.approx(
        list(100 * recall_score(truth, guess, labels=occurring, average=None))
    )


def test_classes_without_names_are_numbered():
    assert list(metered(outputs=3)[0].by_class()) == ["accuracy/0", "accuracy/1", "accuracy/2"]


@pytest.mark.parametrize("missing", [None, 2])
def test_f1_averages_occurring_or_predicted_classes(missing):
    meter, truth, guess = metered(NAMES, missing=missing)
    assert meter.compute()["f1"] == pytest.approx(f1_score(truth, guess, average="macro"))


def test_nothing_labelled_has_no_figures_of_classes():
    meter = meter_for(TaskCard(name="scene", outputs=3), CPU)
    assert meter.by_class() == {}


def test_tables_name_the_class_and_its_direction():
    assert label("test/scene/accuracy/aGrass") == "scene accuracy of aGrass, test (%)"
    assert label("test/scene/accuracy/in/out") == "scene accuracy of in/out, test (%)"
    assert metric_of("test/scene/accuracy/error").goal == "max"


def test_a_class_named_error_is_not_an_objective():
    rows = [{"test/scene/error": 10.0, "test/scene/accuracy/error": 90.0}]
    assert list(measures_of(rows, "test")) == ["test/scene/error"]
