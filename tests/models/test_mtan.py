"""MTAN: every task multiplies the trunk's stages by its own masks."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.deploy.compact import compact
from mtsearch.deploy.serving import Serving
from mtsearch.models import build_model

torch.set_num_threads(1)

DIGITS = [TaskCard(name="left", outputs=10), TaskCard(name="right", outputs=10)]
MIXED = [TaskCard(name="scene", outputs=7), TaskCard(name="pixels", kind="segmentation", outputs=5)]
MM, CM = (schema.BackboneMMConfig(), (1, 28, 28)), (schema.BackboneCMConfig(), (3, 32, 32))


def size(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("backbone", "shared", "own"),
    [(MM, 146_250, 270_150), (CM, 1_412_900, 2_783_060)],
    ids=["mm", "cm"],
)
def test_attention_is_per_task_unlike_the_published_count(backbone, shared, own):
    """Invariant 17 of the MDMTN specification; defect 23 is tested below."""
    model = build_model(schema.MTANConfig(), backbone[0], DIGITS, backbone[1])
    assert size(model) == own
    model.attention["right"] = model.attention["left"]
    assert size(model) == shared


def test_head_reads_vector_masked_over_all_stages():
    model = build_model(schema.MTANConfig(), MM[0], DIGITS, MM[1]).eval()
    x = torch.randn(3, *MM[1])
    first, second, vector = model.share(x)
    assert [tuple(f.shape[1:]) for f in (first, second, vector)] == [
        (10, 12, 12),
        (20, 4, 4),
        (50,),
    ]
    torch.testing.assert_close(second, model.trunk.body(x))
    torch.testing.assert_close(vector, model.trunk.neck(second))
    masks = model.attention["right"]
    attended = second * masks[0](first)
    assert masks[0](first).min() > 0 and masks[0](first).max() < 1
    torch.testing.assert_close(model(x)["right"], model.heads["right"](vector * masks[1](attended)))


@pytest.mark.parametrize(
    ("backbone", "shape"),
    [(CM[0], CM[1]), (schema.BackboneTorchvisionConfig(model="mobilenet_v3_small"), (3, 64, 64))],
    ids=["cm", "torchvision"],
)
def test_gradients_reach_every_parameter_through_the_stages(backbone, shape):
    model = build_model(schema.MTANConfig(), backbone, MIXED, shape)
    out = model(torch.randn(2, *shape))
    assert out["pixels"].shape == (2, 5, *shape[1:])
    assert len(model.attention["scene"]) == len(model.attention["pixels"]) + 1
    sum(value.square().mean() for value in out.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("name", ["resnet18", "vgg16_bn", "densenet121", "convnext_tiny", "swin_t"])
def test_torchvision_networks_show_their_stages(name):
    with torch.device("meta"):
        model = build_model(
            schema.MTANConfig(), schema.BackboneTorchvisionConfig(model=name), MIXED, (3, 64, 64)
        ).eval()
        stages = model.share(torch.zeros(2, 3, 64, 64))[:-1]
        assert model(torch.zeros(2, 3, 64, 64))["scene"].shape == (2, 7)
    areas = [stage.shape[2] * stage.shape[3] for stage in stages]
    assert all(after * 2 <= before for before, after in pairwise(areas))
    assert (
        len(stages)
        == {"resnet18": 5, "vgg16_bn": 6, "densenet121": 5, "convnext_tiny": 4, "swin_t": 1}[name]
    )


def test_a_backbone_without_stages_is_refused():
    with pytest.raises(BadInput, match="needs the stages of a trunk"):
        build_model(
            schema.MTANConfig(),
            schema.BackboneTorchvisionConfig(model="vit_b_32"),
            DIGITS,
            (3, 32, 32),
        )


def test_compaction_leaves_the_outputs():
    model = build_model(schema.MTANConfig(), CM[0], DIGITS, CM[1]).eval().double()
    with torch.no_grad():
        for name in model.prunable:
            model.get_submodule(name).weight[:, ::3] = 0
    served = Serving(model, [0.5] * 3, [0.25] * 3).double()
    small = compact(served, CM[1])
    x = torch.randn(3, *CM[1], dtype=torch.float64)
    for name, value in served(x).items():
        torch.testing.assert_close(small.model(x)[name], value)
    assert "could not be traced" not in small.notes[0]
    weights = [m for m in small.model.modules() if isinstance(m, nn.Linear)]
    assert sum(m.weight.numel() for m in weights) < 0.75 * sum(
        m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear)
    )
