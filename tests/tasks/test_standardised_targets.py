"""Regressions are trained on standardised targets and reported in the unit of the labels."""

import math

import pytest
import torch
from torch import nn

from mtsearch.config import schema
from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.data.configured import with_targets
from mtsearch.models import build_model
from mtsearch.models.heads import ScaledLinear
from mtsearch.tasks import meter_for, task_loss

CPU = torch.device("cpu")
LABELS = torch.tensor([[30000.0, 2.0], [50000.0, math.nan], [40000.0, 2.0], [math.nan, 2.0]])


def card(**more):
    task = TaskCard(name="price", kind="regression", outputs=2, **more)
    return DatasetCard(name="x", source={"kind": "table"}, tasks=(task,), shape=(3, 1, 1))


def test_targets_are_those_of_the_training_labels():
    (task,) = with_targets(card(), {"price": LABELS}).tasks
    assert task.target_mean == (40000.0, 2.0)
    assert task.target_std == pytest.approx((math.sqrt(2e8 / 3), 1.0))  # equal values: 1
    given = card(target_mean=(0.0, 0.0), target_std=(2.0, 4.0))
    assert with_targets(given, {"price": LABELS}) == given


def test_metrics_are_in_the_unit_of_the_labels_and_losses_are_not():
    (task,) = with_targets(card(), {"price": LABELS}).tasks
    output = torch.tensor([[31000.0, 3.0], [50000.0, 0.0], [40000.0, 2.0], [0.0, 2.0]])
    total, count = task_loss(task, output, LABELS)
    std = math.sqrt(2e8 / 3)
    assert total.item() == pytest.approx((1000 / std) ** 2 + 1) and count == 6
    meter = meter_for(task, CPU)
    meter.update(output, LABELS)
    found = meter.compute()
    assert found["mae"] == pytest.approx(1001 / 6)
    assert found["error"] == pytest.approx(math.sqrt((1000**2 + 1) / 6))
    assert found["loss"] == pytest.approx(((1000 / std) ** 2 + 1) / 6)


def test_r2_of_labels_far_from_zero():
    labels = torch.tensor([[1e6 - 10], [1e6], [1e6 + 10], [math.nan]])
    task = TaskCard(name="price", kind="regression", outputs=1)
    whole = DatasetCard(name="x", source={"kind": "table"}, tasks=(task,), shape=(3, 1, 1))
    (task,) = with_targets(whole, {"price": labels}).tasks
    meter = meter_for(task, CPU)
    meter.update(labels.nan_to_num() + torch.tensor([[1.0], [1.0], [-2.0], [0.0]]), labels)
    assert meter.compute()["r2"] == pytest.approx(1 - 6 / 200)


def test_losses_do_not_depend_on_the_unit():
    losses = []
    for unit in (1.0, 1000.0):
        (task,) = with_targets(card(), {"price": LABELS * unit}).tasks
        output = torch.tensor([[35000.0, 2.0]]) * unit
        losses.append(task_loss(task, output, LABELS[:1] * unit)[0].item())
    # the second output is constant, so it is not scaled; it is right in both
    assert losses[0] == pytest.approx(losses[1])


def test_heads_return_the_unit_of_the_labels():
    (task,) = with_targets(card(), {"price": LABELS}).tasks
    torch.manual_seed(0)
    net = build_model(schema.HPSConfig(), schema.BackboneMLPConfig(widths=(4,)), [task], (3, 1, 1))
    head = net.heads["price"]
    assert isinstance(head, ScaledLinear)
    x = torch.randn(5, 4)
    expected = head.linear(x) * torch.tensor(task.target_std) + torch.tensor(task.target_mean)
    assert torch.equal(head(x), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert head(x).dtype == torch.float32


def test_plain_heads_of_older_checkpoints_keep_their_outputs():
    old, new = nn.Linear(4, 2), ScaledLinear(4, (40000.0, 2.0), (100.0, 1.0))
    holder = nn.ModuleDict({"head": new})
    holder.load_state_dict({f"head.{name}": value for name, value in old.state_dict().items()})
    x = torch.randn(3, 4)
    assert torch.allclose(new(x), old(x))


@pytest.mark.parametrize(
    "more",
    [
        {"target_mean": (1.0,), "target_std": (1.0,)},
        {"target_mean": (1.0, 1.0), "target_std": (1.0, 0.0)},
        {"target_std": (1.0, 1.0)},
    ],
)
def test_wrong_targets_are_refused(more):
    with pytest.raises(ValueError, match="a number for each of its 2 outputs"):
        card(**more)
