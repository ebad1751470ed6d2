"""Losses and metrics are means over labels, not over batches."""

import math

import pytest
import torch

from mtsearch.config.cards import TaskCard
from mtsearch.tasks import meter_for, task_loss

CPU = torch.device("cpu")


def test_classification_figures_do_not_depend_on_the_batches():
    task = TaskCard(name="t", outputs=5)
    output, target = torch.randn(97, 5), torch.randint(0, 5, (97,))
    target[::7] = -1
    whole, parts = meter_for(task, CPU), meter_for(task, CPU)
    whole.update(output, target)
    for start in (0, 10, 90):
        stop = {0: 10, 10: 90, 90: 97}[start]
        parts.update(output[start:stop], target[start:stop])
    assert whole.compute() == pytest.approx(parts.compute())
    labelled = target != -1
    assert whole.compute()["error"] == pytest.approx(
        100 * (output.argmax(1) != target)[labelled].double().mean().item()
    )
    assert whole.compute()["loss"] == pytest.approx(
        torch.nn.functional.cross_entropy(output, target, ignore_index=-1).item(), rel=1e-5
    )


def test_unlabelled_batches_give_nan_and_zero_loss():
    task = TaskCard(name="t", outputs=3)
    total, count = task_loss(task, torch.randn(4, 3, requires_grad=True), torch.full((4,), -1))
    assert total.item() == 0 and count.item() == 0
    meter = meter_for(task, CPU)
    meter.update(torch.randn(4, 3), torch.full((4,), -1))
    assert math.isnan(meter.compute()["error"])


def test_segmentation_counts_pixels_over_the_split():
    task = TaskCard(name="t", kind="segmentation", outputs=3)
    target = torch.tensor([[[0, 0], [1, -1]]])
    output = (
        torch.nn.functional.one_hot(torch.tensor([[[0, 1], [1, 2]]]), 3).permute(0, 3, 1, 2).float()
        * 10
    )
    meter = meter_for(task, CPU)
    meter.update(output, target)
    figures = meter.compute()
    assert figures["pixel_error"] == pytest.approx(100 / 3)
    # Both classes that occur have an intersection over union of 1/2.
    assert figures["error"] == pytest.approx(50)


def test_regression_leaves_missing_targets_out():
    task = TaskCard(name="t", kind="regression", outputs=1)
    meter = meter_for(task, CPU)
    meter.update(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [math.nan]]))
    assert meter.compute() == {"loss": 1.0, "error": 1.0, "mae": 1.0, "r2": 0.0}
