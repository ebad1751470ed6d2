"""Metrics of confusion matrices: accuracy, mean intersection over union, kappa, with undefined
pixels excluded and included."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mtsearch.config.cards import TaskCard
from mtsearch.config.metrics import metrics_of
from mtsearch.tasks import meter_for
from mtsearch.tasks.confusion import agreement, confusion

CPU = torch.device("cpu")
LEFT_OUT = TaskCard(name="pixels", kind="segmentation", outputs=3, ignore=3, undefined=3)
TRAINED = TaskCard(name="pixels", kind="segmentation", outputs=4, undefined=3)


def logits(prediction: torch.Tensor, classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(prediction, classes).movedim(-1, 1).float() * 10


def figures(task: TaskCard, prediction, target) -> dict[str, float]:
    meter = meter_for(task, CPU)
    meter.update(logits(prediction, task.outputs), target)
    return meter.compute()


pairs = st.integers(1, 5).flatmap(
    lambda c: st.tuples(
        st.just(c),
        st.lists(st.tuples(st.integers(0, c - 1), st.integers(0, c - 1)), min_size=1, max_size=40),
    )
)


@settings(deadline=None)
@given(pairs)
def test_figures_are_those_counted_label_by_label(case):
    classes, labels = case
    truth, guess = (torch.tensor(values) for values in zip(*labels, strict=True))
    found = agreement(confusion(truth, guess, classes))
    n = len(labels)
    assert found.accuracy == pytest.approx(sum(t == g for t, g in labels) / n)
    ious = []
    for c in range(classes):
        either = sum(c in pair for pair in labels)
        if either:
            ious.append(sum(pair == (c, c) for pair in labels) / either)
    assert found.miou == pytest.approx(sum(ious) / len(ious))
    chance = (
        sum(sum(t == c for t, _ in labels) * sum(g == c for _, g in labels) for c in range(classes))
        / n**2
    )
    assert found.kappa == pytest.approx(
        (found.accuracy - chance) / (1 - chance) if chance < 1 else 1
    )


@pytest.mark.parametrize("task", [LEFT_OUT, TRAINED])
def test_perfect_predictions_have_kappa_one(task):
    target = torch.randint(0, 3, (4, 8, 8))
    found = figures(task, target, target)
    assert found.pop("loss") < 1e-3
    assert {name: value for name, value in found.items() if "kappa" in name} == {
        "kappa": 1,
        "kappa_all": 1,
    }
    assert all(value == pytest.approx(0) for name, value in found.items() if "error" in name)
    scene = meter_for(TaskCard(name="scene", outputs=3), CPU)
    scene.update(logits(torch.tensor([1, 1, 1]), 3), torch.tensor([1, 1, 1]))
    assert scene.compute()["kappa"] == 1  # one class: chance agreement is perfect too


def test_undefined_pixels_are_left_out_and_counted_in():
    target = torch.tensor([[[0, 0, 1, 3]], [[1, 2, 3, 3]]])
    guess = torch.tensor([[[0, 1, 1, 0]], [[1, 2, 2, 2]]])
    found = figures(LEFT_OUT, guess, target)
    assert found["pixel_error"] == pytest.approx(100 / 5)
    assert found["error"] == pytest.approx(100 * (1 - (1 / 2 + 2 / 3 + 1) / 3))
    assert found["pixel_error_all"] == pytest.approx(100 * 4 / 8)
    assert found["error_all"] == pytest.approx(100 * (1 - (1 / 3 + 2 / 3 + 1 / 3 + 0) / 4))
    as_class = figures(TRAINED, guess, target)
    assert {k: v for k, v in as_class.items() if k != "loss"} == {
        k: v for k, v in found.items() if k != "loss"
    }


def test_undefined_predictions_are_errors():
    found = figures(TRAINED, torch.tensor([[[0, 3, 3]]]), torch.tensor([[[0, 0, 3]]]))
    assert found["error"] == pytest.approx(50)
    assert found["pixel_error"] == pytest.approx(50)
    assert found["error_all"] == pytest.approx(50)
    assert found["pixel_error_all"] == pytest.approx(100 / 3)


def test_images_without_defined_pixels_are_not_labelled():
    target = torch.stack([torch.tensor([[0, 3]]), torch.tensor([[3, 3]])])
    found = figures(LEFT_OUT, torch.zeros(2, 1, 2, dtype=torch.int64), target)
    assert found["pixel_error_all"] == pytest.approx(50)
    nothing = figures(LEFT_OUT, torch.zeros(1, 1, 2, dtype=torch.int64), target[1:])
    assert all(math.isnan(value) for value in nothing.values())


@pytest.mark.parametrize(
    "task",
    [
        LEFT_OUT,
        TRAINED,
        LEFT_OUT.model_copy(update={"undefined": None}),
        TaskCard(name="scene", outputs=3),
    ],
)
def test_meters_return_exactly_the_declared_metrics(task):
    shape = (5,) if task.kind == "classification" else (5, 2, 2)
    found = figures(task, torch.zeros(shape, dtype=torch.int64), torch.randint(0, 3, shape))
    promised = {
        name.rsplit("/", 1)[1]
        for name in metrics_of([task])
        if name.startswith(f"val/{task.name}/")
    }
    assert set(found) == promised


def test_figures_do_not_depend_on_the_batches():
    target, guess = torch.randint(0, 4, (9, 4, 4)), torch.randint(0, 3, (9, 4, 4))
    parts = meter_for(LEFT_OUT, CPU)
    for piece in (slice(6, 9), slice(0, 1), slice(1, 6)):
        parts.update(logits(guess[piece], 3), target[piece])
    assert parts.compute() == pytest.approx(figures(LEFT_OUT, guess, target))


def test_undefined_labels_are_ignored_or_a_class():
    with pytest.raises(
        ValidationError, match=r"`undefined` should be `ignore` or one of the 3 classes\. Found 5"
    ):
        TaskCard(name="pixels", kind="segmentation", outputs=3, undefined=5)
