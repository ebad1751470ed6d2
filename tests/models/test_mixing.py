"""Feature mixing (mto.md 2.5 and invariant 18)."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models import build_model, model_macs
from mtsearch.models.mixing import Mixer

torch.set_num_threads(1)

CLASSES = [
    TaskCard(name="left", outputs=4),
    TaskCard(name="pixels", kind="segmentation", outputs=3),
    TaskCard(name="right", outputs=4),
]
PICTURES = [TaskCard(name=name, kind="restoration", outputs=1) for name in ("mse", "l1", "ssim")]
KTDE = schema.BackboneKTDEConfig(blocks=3, width=4)
CASES = [(CLASSES, schema.BackboneCMConfig(), (3, 20, 20)), (PICTURES, KTDE, (1, 12, 12))]
BOTH = pytest.mark.parametrize(("tasks", "backbone", "shape"), CASES, ids=["classes", "pictures"])


def built(tasks, backbone, shape, **settings):
    torch.manual_seed(0)
    return build_model(schema.MixingConfig(**settings), backbone, tasks, shape).eval()


def same(first, second, tolerance=0.0):
    return all(
        torch.allclose(first[name], second[name], rtol=tolerance, atol=tolerance) for name in first
    )


@BOTH
@pytest.mark.parametrize("branches", [1, 2])
def test_mixing_by_the_identity_is_no_mixing(tasks, backbone, shape, branches):
    model, off = (
        built(tasks, backbone, shape, branches=branches),
        built(tasks, backbone, shape, branches=branches, transfer=False),
    )
    missing, unexpected = off.load_state_dict(model.state_dict(), strict=False)
    assert (missing, unexpected) == ([], ["mixer.weight"])
    x = torch.rand(2, *shape)
    assert not same(model(x), off(x), 1e-4)
    torch.nn.init.eye_(model.mixer.weight)
    assert same(model(x), off(x), 1e-6)


@BOTH
def test_mixing_preserves_equal_branches(tasks, backbone, shape):
    model = built(tasks, backbone, shape)
    for trunk in model.trunks[1:]:
        trunk.load_state_dict(model.trunks[0].state_dict(), strict=False)
    x = torch.rand(2, *shape)
    before = model(x)
    with torch.no_grad():
        model.mixer.weight.copy_(torch.randn(3, 3))
        model.mixer.weight[:, 0] += 1 - model.mixer.weight.sum(1)
    assert same(model(x), before, 1e-4)


@given(st.integers(2, 6))
def test_mixing_starts_with_0_8_on_the_diagonal(branches):
    weight = Mixer(branches).weight
    assert torch.allclose(weight.sum(1), torch.ones(branches))
    assert torch.equal(weight.diagonal(), torch.full((branches,), 0.8))
    maps = [torch.randn(2, 3, 4, 4) for _ in range(branches)]
    for k, mixed in enumerate(Mixer(branches)(maps)):
        others = [h for j, h in enumerate(maps) if j != k]
        torch.testing.assert_close(mixed, 0.8 * maps[k] + 0.2 * sum(others) / (branches - 1))


def test_several_branches_give_their_weighted_sum():
    model = built(PICTURES[:1], KTDE, (1, 12, 12), branches=3, transfer=False)
    x = torch.rand(2, 1, 12, 12)
    assert model.ensembles["mse"].weight.tolist() == pytest.approx([1 / 3] * 3)
    alone = []
    for k in range(3):
        with torch.no_grad():
            model.ensembles["mse"].weight.copy_(torch.eye(3)[k])
        alone.append(model(x)["mse"])
    with torch.no_grad():
        model.ensembles["mse"].weight.copy_(torch.tensor([0.5, 0.2, 0.3]))
    torch.testing.assert_close(model(x)["mse"], 0.5 * alone[0] + 0.2 * alone[1] + 0.3 * alone[2])
    assert not torch.allclose(alone[0], alone[1])


def test_one_matrix_mixes_at_four_places():
    model = built(PICTURES, KTDE, (1, 12, 12))
    calls = []
    model.mixer.register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    model(torch.rand(1, 1, 12, 12))
    assert calls == [3] * 4
    one = 18 * 4 + (2 * 3 + 1) * 9 * 4**2
    assert sum(p.numel() for p in model.parameters()) == 3 * one + 9
    assert model_macs(model, (1, 12, 12)) == 3 * one * 144


def test_tasks_share_parameters_before_the_last_mixing():
    model = built(CLASSES, schema.BackboneCMConfig(), (3, 20, 20)).train()
    model(torch.rand(4, 3, 20, 20), ["left"])["left"].square().sum().backward()
    assert all(p.grad is not None for p in model.shared_parameters())
    assert any(p is model.mixer.weight for p in model.shared_parameters())
    assert all(p.grad is not None for p in model.task_parameters("left"))
    assert all(p.grad is None for name in ("pixels", "right") for p in model.task_parameters(name))


def test_a_single_network_has_nothing_to_mix():
    model = built(CLASSES[:1], schema.BackboneCMConfig(), (3, 20, 20))
    assert model.mixer is None and not model.shared_parameters()


def test_copies_have_layers_of_their_own():
    model = built(PICTURES, KTDE, (1, 12, 12))
    x = torch.rand(1, 1, 12, 12)
    copied, before = copy.deepcopy(model), model(x)
    for p in model.parameters():
        torch.nn.init.zeros_(p)
    assert same(copied(x), before)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (schema.BackboneEDSRConfig(blocks=1, width=4), "needs at least 2"),
        (schema.BackboneSegNetConfig(widths=(4, 4, 4, 4, 4)), "needs at least 2"),
        (schema.BackboneTorchvisionConfig(model="resnet18"), "that is not sequential"),
    ],
    ids=["edsr", "segnet", "torchvision"],
)
def test_mixing_refuses_a_backbone_without_sequential_stages(backbone, message):
    with pytest.raises(BadInput, match=message):
        build_model(schema.MixingConfig(), backbone, CLASSES[:1], (3, 32, 32))
