"""Frozen trunks, partly trained trunks and low-rank updates."""

import copy

import pytest
import torch
from torch import nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models import build_backbone, build_model
from mtsearch.models.tuning import blocks, merge_
from mtsearch.sparsity import measures

torch.set_num_threads(1)

TASKS = [TaskCard(name="left", outputs=10), TaskCard(name="right", outputs=10)]
SHAPE = (3, 32, 32)


def built(tune, architecture=None, backbone=schema.BackboneCMConfig, **settings):
    torch.manual_seed(0)
    backbone = backbone(tune=tune, **settings)
    return build_model(architecture or schema.HPSConfig(), backbone, TASKS, SHAPE)


def test_head_trains_only_the_heads():
    model = built("head").train()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {f"heads.{t.name}.{key}" for t in TASKS for key in ("weight", "bias")}
    found = measures(model)
    assert found["model/trainable"] == sum(p.numel() for p in model.heads.parameters())
    assert found["model/params"] == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("tune", ["head", {"lora": {"rank": 2}}])
def test_frozen_norms_keep_their_statistics(tune):
    model = built(tune)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for network in (model, copy.deepcopy(model)):
        network.train()(torch.randn(4, *SHAPE))
        norms = [m for m in network.trunk.modules() if isinstance(m, nn.BatchNorm2d)]
        assert norms and not any(m.training for m in norms) and network.training
        assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_last_trains_the_last_blocks():
    model = built({"last": 1}, backbone=schema.BackboneTorchvisionConfig, model="resnet18").train()
    network = model.trunk.network
    assert len(blocks(model.trunk)) == 9  # the first convolution and eight residual blocks
    assert all(p.requires_grad for p in network.layer4[1].parameters())
    frozen = [network.conv1, network.bn1, network.layer1, network.layer4[0]]
    assert not any(p.requires_grad for part in frozen for p in part.parameters())
    assert network.layer4[1].training and not network.layer4[0].bn1.training


def test_blocks_of_vision_transformers_are_encoder_layers():
    shape = schema.BackboneTorchvisionConfig(model="vit_b_32")
    with torch.device("meta"):
        trunk = build_backbone(shape, (3, 32, 32)).trunk(["vector"])
    assert len(blocks(trunk)) == 1 + 12


def test_too_many_blocks_are_refused():
    with pytest.raises(BadInput, match="should be less than the 3 blocks"):
        built({"last": 3})


@pytest.mark.parametrize(
    "architecture",
    [schema.HPSConfig(), schema.MDMTNConfig(), schema.CrossStitchConfig(), schema.CGCConfig()],
    ids=lambda a: a.name,
)
def test_lora_starts_as_the_backbone_and_merges(architecture):
    plain = built("all", architecture).eval()
    model = built({"lora": {"rank": 3, "alpha": 6}}, architecture)
    weights = {
        key.replace(".parametrizations.weight.original", ".weight"): value
        for key, value in model.state_dict().items()
        if not key.endswith(("weight.0.a", "weight.0.b"))
    }
    plain.load_state_dict(weights)
    x = torch.randn(5, *SHAPE)
    for name, value in model.eval()(x).items():
        torch.testing.assert_close(value, plain(x)[name])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".b"):
                parameter.normal_(0, 0.1)
    merged = copy.deepcopy(model)
    merge_(merged)
    assert set(merged.state_dict()) == set(plain.state_dict())
    assert all(type(m) is type(plain.get_submodule(n)) for n, m in merged.named_modules())
    after = model(x)
    assert not torch.allclose(after["left"], plain(x)["left"])
    for name, value in merged(x).items():
        torch.testing.assert_close(value, after[name], rtol=1e-6, atol=1e-6)


def test_lora_counts_its_updates():
    model = built({"lora": {"rank": 2, "targets": ["1"]}}, schema.HPSConfig())
    layers = [m for m in model.trunk.modules() if hasattr(m, "parametrizations")]
    assert len(layers) == 1
    updates = sum(2 * (w.shape[0] + w[0].numel()) for w in (layer.weight for layer in layers))
    heads = sum(p.numel() for p in model.heads.parameters())
    assert measures(model)["model/trainable"] == updates + heads
    assert measures(model)["model/params"] == sum(p.numel() for p in model.parameters())


def test_unknown_targets_are_refused():
    with pytest.raises(BadInput, match=r"tune.lora.targets` should name linear layers"):
        built({"lora": {"targets": ["attention"]}})


@pytest.mark.parametrize(
    "settings",
    [
        {"sparsity": {"mode": "target", "target": 0.5, "method": "growl"}},
        {"init": "lsuv"},
        {"architecture": {"name": "hps", "norm": "group"}},
        {"architecture": "kdmtl"},
        {"pareto_set": "weights_line"},
    ],
    ids=lambda s: next(iter(s)),
)
@pytest.mark.parametrize(
    "frozen",
    [{"backbone": {"name": "cm", "tune": "head"}}, {"lr_multipliers": {"trunk": 0}}],
    ids=["tune", "zero"],
)
def test_settings_that_need_trained_layers_are_refused(settings, frozen):
    with pytest.raises(ValueError, match="with frozen layers"):
        schema.TrialConfig.model_validate(settings | frozen)


def test_frozen_inputs_of_branches_refuse_tune():
    with pytest.raises(ValueError, match=r"backbone.tune.*has no effect"):
        schema.NetworkInputConfig(
            backbone={"name": "vdsr", "tune": "head"}, weights="model.safetensors"
        )
