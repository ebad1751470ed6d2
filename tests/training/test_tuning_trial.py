"""Trials with frozen parts and low-rank updates."""

import pytest
import torch

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.training import Trial

DATA = DataConfig(dataset="patches10_digits", limit=100)


def trial(**settings):
    defaults = {"epochs": {"search": 0, "retrain": 2}, "batch_size": 50}
    return Trial(TrialConfig.model_validate(defaults | settings), DATA)


@pytest.mark.parametrize(
    "settings",
    [
        {"backbone": {"name": "cm", "tune": "head"}},
        {"backbone": {"name": "cm", "tune": {"last": 1}}},
        {"lr_multipliers": {"trunk": 0}, "optimizer": {"name": "adamw", "weight_decay": 0.1}},
        {"lr_multipliers": {"trunk": 0}, "groups": [["image"], ["digit"]]},
    ],
    ids=["head", "last", "zero", "groups"],
)
def test_frozen_parts_do_not_change(settings):
    found = trial(**settings, ema=0.9)
    before = {key: value.clone() for key, value in found.model.state_dict().items()}
    reports = list(found)
    frozen = [name for name, p in found.model.named_parameters() if not p.requires_grad]
    assert frozen and any("running_mean" in name for name in before)
    after = found.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and not changed & set(frozen)
    assert not [n for n in changed if n.endswith("running_mean") and "last" not in str(settings)]
    total = sum(p.numel() for p in found.model.parameters() if p.requires_grad)
    assert reports[-1]["model/trainable"] == total < reports[-1]["model/params"]


def test_lora_trial_continues_and_gives_plain_weights(tmp_path):
    settings = {"backbone": {"name": "cm", "tune": {"lora": {"rank": 2}}}, "balancing": "mgda"}
    whole = trial(**settings)
    expected = list(whole)
    half = trial(**settings)
    next(half)
    half.save(tmp_path)
    again = Trial.restore(tmp_path)
    reports = list(again)
    skipped = {"cost/seconds"}
    assert {k: v for k, v in again.reports[-1].items() if k not in skipped} == {
        k: v for k, v in expected[-1].items() if k not in skipped
    }
    assert reports
    assert not any("parametrizations" in key for key in whole.selected_model().state_dict())
    metrics = whole.evaluate("val")
    assert metrics["val/image/loss"] == pytest.approx(whole.selected["val/image/loss"], rel=1e-6)


@pytest.mark.parametrize(
    "frozen",
    [{"backbone": {"name": "cm", "tune": "head"}}, {"lr_multipliers": {"trunk": 0}}],
    ids=["tune", "zero"],
)
@pytest.mark.parametrize("level", ["feature", "parameter"])
def test_balancing_of_frozen_shared_parameters_is_refused(frozen, level):
    with pytest.raises(BadInput, match="all of them are frozen"):
        trial(balancing={"name": "mgda", "level": level}, **frozen)


def test_a_network_without_trained_parts_is_refused():
    with pytest.raises(BadInput, match="freezes all parameters"):
        trial(lr_multipliers={"trunk": 0, "heads": 0})
