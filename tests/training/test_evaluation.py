"""Evaluation: a frozen state, every image counted once, whatever the batches and the order."""

import pytest
import torch

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.data import Batches, Split
from mtsearch.models import build_model
from mtsearch.training.evaluation import evaluate

TASKS = [TaskCard(name="scene", outputs=3), TaskCard(name="pixels", kind="segmentation", outputs=3, ignore=3, undefined=3)]
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


def test_evaluation_leaves_the_model_as_it_was_and_does_not_depend_on_batches_or_order():
    torch.manual_seed(0)
    model = build_model(schema.MTLN(), schema.BackboneWRN(depth=10, widen=1), TASKS, (3, 16, 16)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    whole = evaluate(model, [(TASKS, batches(torch.arange(23), 23))], CPU)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for size in (1, 7):
        order = torch.randperm(23, generator=torch.Generator().manual_seed(size))
        assert evaluate(model, [(TASKS, batches(order, size))], CPU) == pytest.approx(whole, rel=1e-5)
