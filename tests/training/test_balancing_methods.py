"""Every registered balancing method trains a trial, and a restored trial continues
bit-identically."""

import json

import pytest
import torch

from mtsearch.config.registry import methods
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.training import Trial

DATA = DataConfig(dataset="patches10_digits", limit=100)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torchjd")


def config(name, **more):
    tree = {
        "balancing": {"name": name, **more},
        "epochs": {"search": 0, "retrain": 2},
        "batch_size": 50,
        "optimizer": {"name": "adam", "lr": 2e-3},
    }
    return TrialConfig.model_validate(tree)


def figures(trial):
    return json.dumps(
        [{k: v for k, v in report.items() if k != "cost/seconds"} for report in trial.reports]
    )


def both_levels():
    for name, settings in methods("balancing").items():
        yield (name, {})
        if "level" in settings.model_fields and name not in ("excess_mtl", "db_mtl"):
            yield (name, {"level": "parameter"})


@pytest.mark.parametrize(
    ("name", "more"),
    list(both_levels()),
    ids=lambda v: v if isinstance(v, str) else v.get("level", "default"),
)
def test_trial_with_method_restores_bit_identically(name, more, tmp_path):
    trial = Trial(config(name, **more), DATA)
    next(trial)
    trial.save(tmp_path / "state")
    next(trial)
    restored = Trial.restore(tmp_path / "state")
    next(restored)
    assert figures(restored) == figures(trial)


@pytest.mark.parametrize("architecture", ["mdmtn", "mtan"])
def test_feature_level_trains_trunk_and_branches(architecture):
    trial = Trial(
        config("upgrad").model_copy(
            update={"architecture": methods("architecture")[architecture]()}
        ),
        DATA,
    )
    before = [p.detach().clone() for p in trial.model.parameters()]
    next(trial)
    moved = [
        not bool((p == q).all()) for p, q in zip(before, trial.model.parameters(), strict=True)
    ]
    assert sum(moved) > 0.9 * len(moved)


def test_weighting_lowers_the_loss_without_conflicts():
    found = []
    for name in ("linear", "mgda"):
        trial = Trial(config(name), DATA)
        found.append([report["train/digit/loss"] for report in trial][-1])
    assert found[1] < 2.5 and found[0] != found[1]


def test_random_weights_are_drawn_from_the_state_of_the_trial():
    states = []
    for name in ("rlw", "linear"):
        trial = Trial(config(name), DATA)
        next(trial)
        states.append(trial._rng)
    assert not torch.equal(*states)
