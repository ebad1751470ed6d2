"""Trials with target images: they train and continue bit-identically, and an unknown loss is
refused before the first step."""

from pathlib import Path

import pytest
import torch
import yaml

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data.cards import datasets_folder, load_card
from mtsearch.training import Trial
from mtsearch.training.checks import check_trial

SETTINGS = {
    "backbone": {"name": "vdsr", "depth": 4, "width": 8},
    "epochs": {"search": 0, "retrain": 2},
    "batch_size": 16,
    "optimizer": {"name": "adam", "lr": 0.002},
    "augment": {"flip": True, "crop": 2},
}
DATA = {"dataset": "patches10_sr_losses", "limit": 64}


@pytest.mark.parametrize("architecture", ["hps", "mixing"])
def test_three_restoration_losses_restore_bit_identically(tmp_path, architecture):
    config, data = (
        TrialConfig(architecture=architecture, **SETTINGS),
        DataConfig(**DATA, store=tmp_path / "store"),
    )
    whole = Trial(config, data)
    first, last = next(whole), next(whole)
    stopped = Trial(config, data)
    next(stopped)
    stopped.save(tmp_path / "state")
    again = next(Trial.restore(tmp_path / "state", data))
    assert all(again[key] == value for key, value in last.items() if key != "cost/seconds")
    assert last["val/restored/psnr"] > first["val/restored/psnr"]
    assert {
        f"val/{name}/ssim" for name in ("restored", "restored_l1", "restored_ssim")
    } <= last.keys()


def test_ensemble_trains_branches_on_their_own_inputs(tmp_path):
    data = DataConfig(dataset="patches10_sr", limit=64, store=tmp_path / "store")
    ensemble = {
        "name": "mixing",
        "branches": 2,
        "inputs": ["image", {"name": "resampled", "filter": "nearest"}],
    }
    settings = {**SETTINGS, "backbone": {"name": "ktde", "blocks": 1, "width": 4}}
    plain = Trial(TrialConfig(architecture=ensemble, **settings), data)
    watched = Trial(TrialConfig(architecture={**ensemble, "branch_losses": True}, **settings), data)
    first, second = list(plain), list(watched)
    assert second[-1]["val/restored/psnr"] > second[0]["val/restored/psnr"]
    assert first[-1]["val/restored/loss"] != second[-1]["val/restored/loss"]
    saved = watched.selected_model().state_dict()
    watched.save(tmp_path / "state")
    again = Trial.restore(tmp_path / "state", data).selected_model().state_dict()
    assert all(torch.equal(value, again[name]) for name, value in saved.items())


def test_an_unknown_loss_is_refused_before_training(tmp_path):
    card = yaml.safe_load(Path(datasets_folder() / "patches10_sr.yaml").read_text())
    card["tasks"][0]["loss"] = "sim"
    path = tmp_path / "card.yaml"
    path.write_text(yaml.safe_dump(card))
    with pytest.raises(BadInput, match=r"unknown loss of restoration: `sim`. Did you mean `ssim`"):
        Trial(
            TrialConfig(**SETTINGS),
            DataConfig(dataset=str(path), limit=16, store=tmp_path / "store"),
        )


def test_feature_level_refuses_separate_task_networks():
    settings = TrialConfig.model_validate(
        {
            "architecture": "mixing",
            "backbone": "vdsr",
            "balancing": {"name": "mgda", "level": "feature"},
        }
    )
    with pytest.raises(
        BadInput, match=r"with `trial.architecture: mixing` every task has its own features"
    ):
        check_trial(settings, load_card("patches10_sr_losses"))
