"""Weights of backbones stay in memory from trial to trial."""

import os
import warnings

import pytest
import torch
import torchvision

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import BackboneTorchvisionConfig
from mtsearch.models import build_backbone, trunk_torchvision

SHAPE = (3, 32, 32)


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(5)
    path = tmp_path / "weights.pt"
    torch.save(torchvision.models.squeezenet1_1().state_dict(), path)
    return path


def trunk(weights, tune):
    settings = BackboneTorchvisionConfig(model="squeezenet1_1", weights=weights, tune=tune)
    torch.manual_seed(0)
    return build_backbone(settings, SHAPE).trunk(["vector"])


def test_second_trunk_reads_no_file(weights, monkeypatch):
    first = trunk(weights, {"lora": {"rank": 2}})
    with torch.no_grad():  # as training does
        for parameter in first.parameters():
            parameter.add_(1)
    monkeypatch.setattr(trunk_torchvision, "load_weights", None)
    second = trunk(weights, {"lora": {"rank": 4}})
    again = trunk(weights, "all")
    expected = torch.load(weights)["features.0.weight"]
    assert torch.equal(next(again.parameters()), expected)
    assert sum(p.requires_grad for p in second.parameters()) < len(list(second.parameters()))
    assert all(p.requires_grad for p in again.parameters())


def test_resident_trunks_equal_new_ones(weights, monkeypatch):
    trunk(weights, "all")
    kept = trunk(weights, "head")
    state = torch.get_rng_state()
    monkeypatch.setattr("mtsearch.models.registry.resident", lambda build, *given: build(*given))
    new = trunk(weights, "head")
    assert torch.equal(state, torch.get_rng_state())
    for value, expected in zip(kept.parameters(), new.parameters(), strict=True):
        assert torch.equal(value, expected)


def test_changed_file_is_read_again(weights):
    before = trunk(weights, "all")
    state = {name: value + 1 for name, value in torch.load(weights).items()}
    torch.save(state, weights)
    os.utime(weights, ns=(1, 1))
    after = trunk(weights, "all")
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(new, old + 1)


def test_meta_device_keeps_no_weights(weights):
    with torch.device("meta"), warnings.catch_warnings(action="ignore"):
        trunk(weights, "all")
    assert all(p.device.type == "cpu" for p in trunk(weights, "all").parameters())


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match="should be an existing file"):
        trunk(tmp_path / "none.pt", "all")
