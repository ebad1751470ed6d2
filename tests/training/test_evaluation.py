"""Evaluation does not change the model and counts every image once, for any batches and order."""

import pytest
import torch

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import Batches, Split
from mtsearch.models import build_model
from mtsearch.training import Trial
from mtsearch.training.evaluation import evaluate

TASKS = [
    TaskCard(name="scene", outputs=3),
    TaskCard(name="pixels", kind="segmentation", outputs=3, ignore=3, undefined=3),
]
CPU = torch.device("cpu")


def batches(order: torch.Tensor, size: int) -> Batches:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (23, 3, 16, 16), dtype=torch.uint8, generator=generator)
    labels = {
        "scene": torch.randint(0, 3, (23,), generator=generator),
        "pixels": torch.randint(0, 4, (23, 16, 16), generator=generator),
    }
    split = Split(images[order], {name: values[order] for name, values in labels.items()})
    return Batches(split, batch_size=size, mean=(0.5,) * 3, std=(0.2,) * 3)


def test_evaluation_is_pure_and_independent_of_batches():
    torch.manual_seed(0)
    model = build_model(
        schema.MTLNConfig(), schema.BackboneWRNConfig(depth=10, widen=1), TASKS, (3, 16, 16)
    ).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    whole = evaluate(model, [(TASKS, batches(torch.arange(23), 23))], CPU)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for size in (1, 7):
        order = torch.randperm(23, generator=torch.Generator().manual_seed(size))
        assert evaluate(model, [(TASKS, batches(order, size))], CPU) == pytest.approx(
            whole, rel=1e-5
        )


class Parrot(torch.nn.Module):
    """A network that predicts the class in the first pixel of an image."""

    def predict(self, images, labels, tasks):
        return {
            "scene": (
                torch.nn.functional.one_hot((images[:, 0, 0, 0] * 255).round().long(), 3).float()
            )
        }


@pytest.mark.parametrize("size", [1, 16, 128, 1000])
def test_error_rate_is_exact_for_any_batch_size(size):
    labels = torch.arange(129) % 3
    said = labels.clone()
    said[128] = (said[128] + 1) % 3
    split = Split(said.byte().view(-1, 1, 1, 1), {"scene": labels})
    before = torch.get_rng_state()
    figures = evaluate(
        Parrot(), [(TASKS[:1], Batches(split, batch_size=size, mean=(0.0,), std=(1.0,)))], CPU
    )
    assert figures["scene/error"] == pytest.approx(100 / 129)
    assert torch.equal(torch.get_rng_state(), before)


def test_evaluation_between_steps_does_not_affect_training():
    """Invariant 10 of the alternating specification: the model and the random state do not
    change."""
    config = TrialConfig.model_validate(
        {
            "architecture": {"name": "mtln", "head_hidden": 8, "dropout": 0.5},
            "backbone": {"name": "wrn", "depth": 10, "widen": 1},
            "batch_size": 25,
            "epochs": {"search": 0, "retrain": 2},
            "augment": {"flip": True, "crop": 2},
            "task_schedule": "coin",
        }
    )
    data = DataConfig(dataset="patches10_digits5", limit=50)
    plain, watched = Trial(config, data), Trial(config, data)
    list(plain)
    next(watched)
    before = {key: value.clone() for key, value in watched.model.state_dict().items()}
    rng = torch.get_rng_state()
    assert watched.evaluate("val") == watched.evaluate("val")
    assert watched.evaluate("test") == watched.evaluate("test")
    assert all(torch.equal(value, before[key]) for key, value in watched.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), rng)
    next(watched)
    assert all(
        torch.equal(value, plain.model.state_dict()[key])
        for key, value in watched.model.state_dict().items()
    )
