"""The losses that a card can name (mto.md, 2.2 and 2.4), against plain reference
implementations."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.tasks import meter_for, task_loss
from mtsearch.tasks.ssim import ssim

COUNTERPARTS = {
    None: nn.CrossEntropyLoss(),
    "cross_entropy": nn.CrossEntropyLoss(),
    "l1": lambda x, y: F.l1_loss(x, F.one_hot(y, x.shape[1]).float()),
    "l2": lambda x, y: F.mse_loss(x, F.one_hot(y, x.shape[1]).float()),
    "l1_softmax": lambda x, y: F.l1_loss(x.softmax(1), F.one_hot(y, x.shape[1]).float()),
    "l2_softmax": lambda x, y: F.mse_loss(x.softmax(1), F.one_hot(y, x.shape[1]).float()),
    "margin": nn.MultiMarginLoss(),
}


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_a_losss_mean_over_the_labelled_is_torchs(name):
    task = TaskCard(name="t", outputs=4, loss=name)
    output, target = torch.randn(23, 4, requires_grad=True), torch.randint(0, 4, (23,))
    target[::5] = -1
    total, count = task_loss(task, output, target)
    kept = target != -1
    assert count.item() == kept.sum().item()
    assert (total / count).item() == pytest.approx(
        COUNTERPARTS[name](output[kept], target[kept]).item(), rel=1e-5
    )
    (gradient,) = torch.autograd.grad(total, output)
    assert (gradient[~kept] == 0).all() and gradient[kept].abs().sum() > 0


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_a_segmentations_loss_is_that_of_its_pixels(name):
    pixels, image = (
        TaskCard(name="t", outputs=3, loss=name),
        TaskCard(name="t", kind="segmentation", outputs=3, loss=name),
    )
    output, target = torch.randn(2, 3, 4, 5), torch.randint(-1, 3, (2, 4, 5))
    total, count = task_loss(image, output, target)
    alone, number = task_loss(pixels, output.movedim(1, -1).reshape(-1, 3), target.reshape(-1))
    assert count == number and total.item() == pytest.approx(alone.item(), rel=1e-5)


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_nothing_labelled_costs_nothing(name):
    total, count = task_loss(
        TaskCard(name="t", outputs=3, loss=name), torch.randn(4, 3), torch.full((4,), -1)
    )
    assert total.item() == 0 and count.item() == 0


def test_a_regression_may_be_trained_on_absolute_errors():
    output, target = torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([[0.0], [math.nan], [8.0]])
    total, count = task_loss(
        TaskCard(name="t", kind="regression", outputs=1, loss="l1"), output, target
    )
    assert (total.item(), count.item()) == (4.0, 2)
    meter = meter_for(
        TaskCard(name="t", kind="regression", outputs=1, loss="l1"), torch.device("cpu")
    )
    meter.update(output, target)
    assert meter.compute() == {
        "loss": 2.0,
        "error": pytest.approx(math.sqrt(5)),
        "mae": 2.0,
        "r2": 1 - 10 / 32,
    }


def test_an_unknown_loss_names_the_nearest():
    with pytest.raises(
        BadInput, match=r"unknown loss of classification: `margn`. Did you mean `margin`"
    ):
        task_loss(
            TaskCard(name="t", outputs=2, loss="margn"),
            torch.zeros(1, 2),
            torch.zeros(1, dtype=torch.long),
        )


# --------------------------------------------- structural similarity (mto.md, 2.4 and invariant 17)


def plain_ssim(first, second):
    """Pixel by pixel, window by window, from the definition."""
    height, width = first.shape
    out = torch.empty(height - 10, width - 10, dtype=torch.float64)
    for i in range(5, height - 5):
        for j in range(5, width - 5):
            weights, a, b = [], [], []
            for di in range(-5, 6):
                for dj in range(-5, 6):
                    weights.append(math.exp(-(di * di + dj * dj) / (2 * 1.5**2)))
                    a.append(float(first[i + di, j + dj]))
                    b.append(float(second[i + di, j + dj]))
            w, a, b = (torch.tensor(values, dtype=torch.float64) for values in (weights, a, b))
            w = w / w.sum()
            mean_a, mean_b = (w * a).sum(), (w * b).sum()
            var_a, var_b = (w * (a - mean_a) ** 2).sum(), (w * (b - mean_b) ** 2).sum()
            covariance = (w * (a - mean_a) * (b - mean_b)).sum()
            above = (2 * mean_a * mean_b + 0.0001) * (2 * covariance + 0.0009)
            out[i - 5, j - 5] = above / (
                (mean_a**2 + mean_b**2 + 0.0001) * (var_a + var_b + 0.0009)
            )
    return out


RESTORED = TaskCard(name="t", kind="restoration", outputs=1, loss="ssim")


def test_similarity_is_what_its_definition_says():
    first, second = (
        torch.rand(2, 2, 12, 15, dtype=torch.float64),
        torch.rand(2, 2, 12, 15, dtype=torch.float64),
    )
    values = ssim(first, second)
    for i in range(2):
        for c in range(2):
            torch.testing.assert_close(
                values[i, c], plain_ssim(first[i, c], second[i, c]), rtol=1e-9, atol=1e-12
            )


@given(st.integers(0, 10**6), st.sampled_from([1.0, 3.0, -1.0]))
def test_ssim_loss_is_symmetric_zero_to_two(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    first, second = (
        scale * torch.rand(2, 1, 12, 12, generator=generator),
        torch.rand(2, 1, 12, 12, generator=generator),
    )
    total, count = task_loss(RESTORED, first, first.clone())
    assert abs(total.item()) < 2e-6 and count.item() == 2
    there, back = (
        task_loss(RESTORED, first, second)[0].item(),
        task_loss(RESTORED, second, first)[0].item(),
    )
    assert there == pytest.approx(back, rel=1e-4, abs=1e-5)
    for i in range(2):
        value = task_loss(RESTORED, first[i : i + 1], second[i : i + 1])[0].item()
        assert -1e-6 <= value <= 2 + 1e-6


def test_the_loss_is_a_sum_over_images():
    first, second = torch.rand(3, 1, 16, 16), torch.rand(3, 1, 16, 16)
    total, count = task_loss(RESTORED, first, second)
    assert count.item() == 3
    assert total.item() == pytest.approx(
        sum(1 - ssim(first[i : i + 1], second[i : i + 1]).mean().item() for i in range(3)), rel=1e-5
    )


def test_an_unlabelled_pixel_or_image_pulls_at_nothing():
    output, target = torch.rand(2, 1, 16, 16, requires_grad=True), torch.rand(2, 1, 16, 16)
    target[0], target[1, :, :, :4] = math.nan, math.nan
    for name in ("mse", "l1", "ssim"):
        total, count = task_loss(
            TaskCard(name="t", kind="restoration", outputs=1, loss=name), output, target
        )
        (gradient,) = torch.autograd.grad(total, output)
        assert (
            torch.isfinite(gradient).all()
            and (gradient[0] == 0).all()
            and gradient[1].abs().sum() > 0
        )
        assert count.item() == (1 if name == "ssim" else 16 * 12)


# ---------------------------------------------------------------- figures of restored images


def test_restoration_metrics_are_independent_of_batches():
    task = TaskCard(name="t", kind="restoration", outputs=1)
    output, target = torch.rand(7, 1, 16, 16) * 1.4 - 0.2, torch.rand(7, 1, 16, 16)
    target[6] = math.nan
    whole, parts = meter_for(task, torch.device("cpu")), meter_for(task, torch.device("cpu"))
    whole.update(output, target)
    for part in (slice(0, 1), slice(1, 5), slice(5, 7)):
        parts.update(output[part], target[part])
    figures = whole.compute()
    assert figures == pytest.approx(parts.compute(), rel=1e-5)
    shown = output[:6].clamp(0, 1)
    errors = (shown - target[:6]).square().flatten(1).mean(1)
    assert figures["psnr"] == pytest.approx((10 * torch.log10(1 / errors)).mean().item(), rel=1e-5)
    assert figures["ssim"] == pytest.approx(ssim(shown, target[:6]).mean().item(), rel=1e-5)
    assert figures["error"] == pytest.approx(
        (output[:6] - target[:6]).square().mean().sqrt().item(), rel=1e-5
    )
    assert figures["loss"] == pytest.approx(figures["error"] ** 2, rel=1e-5)


def test_a_perfect_restoration_has_figures_too():
    meter = meter_for(RESTORED, torch.device("cpu"))
    image = torch.rand(2, 1, 12, 12)
    meter.update(image, image)
    figures = meter.compute()
    assert (
        figures["psnr"] == pytest.approx(100)
        and figures["ssim"] == pytest.approx(1)
        and figures["error"] == 0
    )
    empty = meter_for(RESTORED, torch.device("cpu"))
    empty.update(image, torch.full_like(image, math.nan))
    assert all(math.isnan(value) for value in empty.compute().values())
