"""Metrics against torchmetrics, an independent implementation."""

import math

import pytest
import torch
from torchmetrics.functional import classification as reference
from torchmetrics.functional import image as image_reference

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.tasks import meter_for
from mtsearch.tasks.ssim import ssim

CPU = torch.device("cpu")


def measured(task, output, target, batches=3):
    meter = meter_for(task, CPU)
    for out, labels in zip(output.chunk(batches), target.chunk(batches), strict=True):
        meter.update(out, labels)
    return meter.compute()


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_classification_metrics_match():
    output, target = torch.randn(90, 5), torch.randint(-1, 5, (90,))
    found = measured(TaskCard(name="t", outputs=5), output, target)
    kept, guess = target[target >= 0], output.argmax(1)[target >= 0]
    assert found["f1"] == pytest.approx(
        float(reference.multiclass_f1_score(guess, kept, 5, average="macro")), rel=1e-6
    )
    assert found["kappa"] == pytest.approx(
        float(reference.multiclass_cohen_kappa(guess, kept, 5)), rel=1e-5
    )
    assert found["error"] == pytest.approx(
        100 - 100 * float(reference.multiclass_accuracy(guess, kept, 5, average="micro")), rel=1e-5
    )


def test_mean_iou_matches():
    output, target = torch.randn(9, 4, 6, 6), torch.randint(0, 4, (9, 6, 6))
    found = measured(TaskCard(name="t", kind="segmentation", outputs=4), output, target)
    miou = float(reference.multiclass_jaccard_index(output.argmax(1), target, 4))
    assert found["error"] == pytest.approx(100 - 100 * miou, rel=1e-5)


def test_psnr_and_ssim_match():
    target = torch.rand(6, 3, 20, 24)
    output = target + 0.2 * torch.randn_like(target)
    found = measured(TaskCard(name="t", kind="restoration", outputs=3), output, target)
    shown = output.clamp(0, 1)
    psnr = image_reference.peak_signal_noise_ratio(
        shown, target, data_range=1.0, reduction="elementwise_mean", dim=(1, 2, 3)
    )
    assert found["psnr"] == pytest.approx(float(psnr), rel=1e-5)
    # torchmetrics' map has padded windows at its border; the definition counts the others.
    _, whole = image_reference.structural_similarity_index_measure(
        shown, target, data_range=1.0, return_full_image=True
    )
    assert found["ssim"] == pytest.approx(float(whole[..., 5:-5, 5:-5].mean()), rel=1e-4)


def test_ssim_of_small_images_is_undefined():
    image = torch.rand(2, 1, 10, 20)
    with pytest.raises(BadInput, match=r"11x11 pixels or more. Found 10x20"):
        ssim(image, image)
    found = measured(TaskCard(name="t", kind="restoration", outputs=1), image, image, 1)
    assert math.isnan(found["ssim"]) and found["psnr"] == 100


def test_import_of_tasks_does_not_load_torchmetrics():
    import subprocess
    import sys

    code = "import sys, mtsearch.tasks; print('torchmetrics' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
