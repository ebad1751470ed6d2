"""Tags, ordered classes, weights of losses and further metrics, against independent formulas."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torchmetrics.functional import classification, regression
from torchvision.ops import sigmoid_focal_loss

from mtsearch.config.cards import TaskCard
from mtsearch.tasks import constant_error, meter_for, task_loss

CPU = torch.device("cpu")


def measured(task, output, target, batches=3):
    """The metrics, with totals summed over two meters as over two ranks."""
    meters = [meter_for(task, CPU) for _ in range(2)]
    for i, (out, labels) in enumerate(
        zip(output.chunk(batches), target.chunk(batches), strict=True)
    ):
        meters[i % 2].update(out, labels)
    meters[0].totals += meters[1].totals
    return meters[0].compute()


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_metrics_of_tags_match():
    task = TaskCard(name="t", kind="multilabel", outputs=4)
    output, target = torch.randn(60, 4), torch.randint(0, 2, (60, 4)).float()
    found = measured(task, output, target)
    f1 = classification.multilabel_f1_score(output.sigmoid(), target.long(), 4, average="macro")
    assert found["f1"] == pytest.approx(float(f1), rel=1e-5)
    wrong = reference.hamming_loss(target.numpy(), (output > 0).numpy())
    assert found["error"] == pytest.approx(100 * wrong)
    target[5, 1] = target[7] = math.nan
    kept = ~target.isnan()
    share = ((output > 0).float() != target)[kept].float().mean()
    assert measured(task, output, target)["error"] == pytest.approx(100 * float(share), rel=1e-6)
    weighted = task.model_copy(update={"pos_weight": 3.0})
    total, count = task_loss(weighted, output, target)
    p, y = output[kept].sigmoid(), target[kept]
    expected = -(3 * y * p.log() + (1 - y) * (1 - p).log()).sum()
    assert float(total) == pytest.approx(float(expected), rel=1e-5) and count == kept.sum()


def test_metrics_of_ordered_classes_match():
    task = TaskCard(name="t", kind="ordinal", outputs=5)
    output, target = torch.randn(60, 4), torch.randint(0, 5, (60,))
    guess = (output > 0).sum(1)
    found = measured(task, output, target)
    assert found["mae"] == pytest.approx(reference.mean_absolute_error(target, guess), rel=1e-6)
    assert found["error"] == pytest.approx(100 * float((guess != target).float().mean()), rel=1e-6)
    total, _ = task_loss(task, torch.zeros(3, 4), torch.tensor([0, 4, -1]))
    assert float(total) == pytest.approx(8 * math.log(2), rel=1e-6)


@pytest.mark.parametrize("kind", ["multilabel", "ordinal"])
def test_the_constant_predictor_is_the_most_frequent_label(kind):
    if kind == "ordinal":
        labels, best = torch.tensor([0, 2, 2, -1]), 100 / 3
    else:
        labels = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 1], [math.nan] * 3])
        best = 100 / 3
    assert constant_error(TaskCard(name="t", kind=kind, outputs=3), labels) == pytest.approx(best)


def test_balanced_accuracy_matches():
    output, target = torch.randn(90, 5), torch.randint(-1, 4, (90,))
    found = measured(TaskCard(name="t", outputs=5), output, target)["balanced_accuracy"]
    kept = target >= 0
    with pytest.warns(UserWarning, match="y_pred contains classes"):
        expected = reference.balanced_accuracy_score(target[kept], output.argmax(1)[kept])
    assert found == pytest.approx(100 * expected)


def test_mae_and_r2_match():
    output, target = torch.randn(60, 3), torch.randn(60, 3) + 5
    found = measured(TaskCard(name="t", kind="regression", outputs=3), output, target)
    assert found["mae"] == pytest.approx(float((output - target).abs().mean()), rel=1e-5)
    r2 = regression.r2_score(output, target, multioutput="uniform_average")
    assert found["r2"] == pytest.approx(float(r2), rel=1e-4)
    target[::3, 0], target[:, 1] = math.nan, 2.0
    kept = ~target[:, 0].isnan()
    scores = [
        reference.r2_score(target[kept, 0], output[kept, 0]),
        reference.r2_score(target[:, 1], output[:, 1]),
        reference.r2_score(target[:, 2], output[:, 2]),
    ]
    found = measured(TaskCard(name="t", kind="regression", outputs=3), output, target)["r2"]
    assert found == pytest.approx(np.mean(scores), rel=1e-5)


def test_class_weights_and_smoothing_match():
    output, target = torch.randn(20, 3), torch.randint(0, 3, (20,))
    weights, share = torch.tensor([1.0, 2.0, 0.5]), 0.1
    task = TaskCard(name="t", outputs=3, class_weights=weights.tolist(), label_smoothing=share)
    log_p = output.log_softmax(1)
    soft = torch.nn.functional.one_hot(target, 3) * (1 - share) + share / 3
    expected = -(soft * weights * log_p).sum()
    total, count = task_loss(task, output, target)
    assert float(total) == pytest.approx(float(expected), rel=1e-5) and count == 20


def test_focal_loss_matches_that_of_two_classes():
    margin, target = torch.randn(30), torch.randint(0, 2, (30,))
    output = torch.stack([torch.zeros(30), margin], 1)
    task = TaskCard(name="t", outputs=2, loss="focal", focal_gamma=1.5)
    expected = sigmoid_focal_loss(margin, target.float(), alpha=-1, gamma=1.5, reduction="sum")
    assert float(task_loss(task, output, target)[0]) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"class_weights": [1]}, "should contain 3 numbers"),
        ({"class_weights": [1, 1, -1]}, "should contain 3 numbers"),
        ({"pos_weight": 2.0}, "`pos_weight` has no effect"),
        ({"loss": "margin", "label_smoothing": 0.1}, "`label_smoothing` has no effect"),
        ({"kind": "multilabel", "pos_weight": 0.0}, "should be positive"),
    ],
)
def test_settings_without_effect_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        TaskCard(name="t", outputs=3, **settings)
