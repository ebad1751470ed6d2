"""Idle parameters: the effect of a step on the tasks that it does not train."""

from itertools import pairwise

import pytest
import torch

from mtsearch.balancing import build_balancing
from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.optimisation import AdamConfig
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.models import build_model
from mtsearch.training import Trial
from mtsearch.training.optimizers import build_optimizer
from mtsearch.training.steps import Stepper

TASKS = [TaskCard(name="fashion", outputs=5), TaskCard(name="object", outputs=10)]
DATA = DataConfig(dataset="patches10_digits", limit=200)


def stepper(idle):
    torch.manual_seed(0)
    model = build_model(schema.HPSConfig(), schema.BackboneCMConfig(), TASKS, (3, 32, 32)).train()
    optimizer = build_optimizer(AdamConfig(lr=1e-3), model.parameters())
    return model, Stepper(
        model,
        TASKS,
        build_balancing(schema.LinearConfig(), torch.ones(2) / 2, 0.0),
        optimizer,
        None,
        None,
        idle,
    )


def step(stepper, k):
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(k))
    stepper.step([((k,), (images, {TASKS[k].name: torch.arange(8) % 5}))], 0.0)


def movement(model, stepper, k):
    """Return how much the other task's head changes in a step of task k."""
    head = model.heads[TASKS[1 - k].name]
    before = head.weight.detach().clone()
    step(stepper, k)
    return (head.weight - before).abs().max().item()


def test_idle_frozen_head_does_not_move():
    """Invariant 6 of the alternating specification."""
    model, frozen = stepper("frozen")
    assert movement(model, frozen, 0) == 0
    step(frozen, 1)
    assert movement(model, frozen, 0) == 0


def test_idle_drift_moves_heads_with_past_steps():
    model, drifting = stepper("drift")
    assert movement(model, drifting, 0) == 0
    step(drifting, 1)
    moved = [movement(model, drifting, 0) for _ in range(12)]
    # Adam after one own step: 0.9 / sqrt(0.999) times the bias corrections of step two, 6.7e-4 of a
    # learning rate of 1e-3
    assert moved[0] == pytest.approx(6.7e-4, rel=0.01)
    assert all(after < before for before, after in pairwise(moved)) and moved[-1] > 5e-5


def config(**changes):
    base = {
        "architecture": "hps",
        "backbone": "cm",
        "batch_size": 64,
        "epochs": {"search": 0, "retrain": 3},
        "idle": "drift",
    }
    return TrialConfig.model_validate(
        {**base, "task_schedule": {"name": "categorical", "steps": 2}, **changes}
    )


def test_restored_drift_trial_continues_bit_identically(tmp_path):
    def timeless(reports):
        return [{k: v for k, v in report.items() if k != "cost/seconds"} for report in reports]

    whole = list(Trial(config(), DATA))
    assert timeless(whole) != timeless(Trial(config(idle="frozen"), DATA))
    trial = Trial(config(), DATA)
    for number in range(3):
        trial.save(tmp_path / "state")
        trial = Trial.restore(tmp_path / "state")
        assert timeless([next(trial)]) == timeless(whole[number : number + 1])


def test_drift_without_idle_tasks_is_refused():
    with pytest.raises(BadInput, match=r"`trial.idle: drift` has no effect"):
        Trial(config(task_schedule="joint"), DATA)
