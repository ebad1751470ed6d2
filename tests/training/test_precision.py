"""Mixed precision: layers compute in bfloat16; parameters, losses and combined gradients are
float32."""

import math

import pytest
import torch

from mtsearch.config.registry import methods
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.training import Trial

DATA = DataConfig(dataset="patches10_digits", limit=100)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torchjd")


def config(**changes):
    base = {
        "precision": "bfloat16",
        "batch_size": 50,
        "epochs": {"search": 0, "retrain": 2},
        "optimizer": {"name": "adamw", "lr": 0.002},
    }
    return TrialConfig.model_validate({**base, **changes})


def timeless(reports):
    return [{k: v for k, v in report.items() if k != "cost/seconds"} for report in reports]


@pytest.mark.parametrize(
    "changes",
    [
        {"ema": 0.9, "augment": {"flip": True}},
        {
            "architecture": "mdmtn",
            "epochs": {"search": 1, "retrain": 1},
            "sparsity": {"mode": "target", "target": 0.5},
        },
        {
            "architecture": {"name": "hps", "norm": "task_statistics"},
            "task_schedule": {"name": "coin", "rounds": 3},
        },
        {"balancing": "famo", "init": "lsuv"},
    ],
    ids=["dense", "sparse", "task-norm", "famo"],
)
def test_a_trial_repeats_itself_and_continues_bit_identically(changes, tmp_path):
    whole = list(Trial(config(**changes), DATA))
    trial = Trial(config(**changes), DATA)
    first = next(trial)
    trial.save(tmp_path / "state")
    assert timeless([first, next(Trial.restore(tmp_path / "state"))]) == timeless(whole)
    assert all(p.dtype == torch.float32 for p in trial.model.parameters())
    full = next(Trial(config(precision="float32", **changes), DATA))
    losses = [key for key in full if key.endswith("/loss")]
    assert any(full[key] != first[key] for key in losses), "bfloat16 changed nothing"
    assert all(
        first[key] == pytest.approx(full[key], rel=0.1)
        for key in losses
        if key.startswith("train/")
    )


@pytest.mark.parametrize("level", ["feature", "parameter"])
def test_gradients_that_are_compared_are_float32(level, monkeypatch):
    trial = Trial(config(balancing={"name": "upgrad", "level": level}, architecture="mtan"), DATA)
    seen = []
    inner = trial._balancing.aggregate
    monkeypatch.setattr(
        trial._balancing,
        "aggregate",
        lambda jacobian, losses: seen.append((jacobian, losses)) or inner(jacobian, losses),
    )
    next(trial)
    assert seen
    for jacobian, losses in seen:
        assert {block.dtype for block in jacobian.blocks} == {torch.float32} == {losses.dtype}
        assert jacobian.gramian().dtype == torch.float64


@pytest.mark.parametrize("name", list(methods("balancing")))
def test_every_balancing_method_trains(name):
    report = next(Trial(config(balancing={"name": name}, epochs={"search": 0, "retrain": 1}), DATA))
    assert all(math.isfinite(value) for key, value in report.items() if key.endswith("/loss"))
