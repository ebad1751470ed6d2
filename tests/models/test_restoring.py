"""Networks for image restoration (mto.md 2.4): sizes, shapes, and outputs before training."""

import pytest
import torch
from torch import nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models import build_model, lsuv_, model_macs

torch.set_num_threads(1)

ONE = [TaskCard(name="restored", kind="restoration", outputs=1)]
THREE = [
    *ONE,
    TaskCard(name="by_l1", kind="restoration", outputs=1, loss="l1"),
    TaskCard(name="kind", outputs=4),
]
VDSR, EDSR = (
    schema.BackboneVDSRConfig(depth=4, width=6),
    schema.BackboneEDSRConfig(blocks=2, width=6),
)
ARCHITECTURES = [schema.STLConfig(), schema.HPSConfig(), schema.MDMTNConfig()]


def size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_vdsr_has_the_papers_size():
    assert (
        size(build_model(schema.STLConfig(), schema.BackboneVDSRConfig(), ONE, (1, 32, 32)))
        == 664_704
    )
    assert (
        model_macs(
            build_model(schema.STLConfig(), schema.BackboneVDSRConfig(), ONE, (1, 32, 32)),
            (1, 32, 32),
        )
        == 664_704 * 32 * 32
    )


@pytest.mark.parametrize(("depth", "width", "channels"), [(2, 5, 1), (5, 8, 3)])
def test_vdsr_has_the_documented_parameter_count(depth, width, channels):
    task = TaskCard(name="t", kind="restoration", outputs=channels)
    model = build_model(
        schema.HPSConfig(),
        schema.BackboneVDSRConfig(depth=depth, width=width),
        [task],
        (channels, 8, 8),
    )
    assert size(model) == 18 * channels * width + 9 * (depth - 2) * width**2


@pytest.mark.parametrize(
    ("blocks", "width", "scale", "channels"), [(18, 64, 2, 1), (1, 4, 1, 3), (2, 6, 8, 1)]
)
def test_edsr_has_the_documented_parameter_count(blocks, width, scale, channels):
    settings = schema.BackboneEDSRConfig(blocks=blocks, width=width, scale=scale)
    model = build_model(
        schema.HPSConfig(),
        settings,
        [TaskCard(name="t", kind="restoration", outputs=1)],
        (channels, 16, 16),
    )
    trunk = 9 * channels * scale**2 * width + width + (2 * blocks + 1) * (9 * width**2 + width)
    trunk += (scale.bit_length() - 1) * (36 * width**2 + 4 * width)
    assert size(model.trunk) == trunk and size(model.heads) == 9 * width + 1


@pytest.mark.parametrize("settings", ARCHITECTURES, ids=lambda s: s.name)
@pytest.mark.parametrize(
    "backbone",
    [VDSR, EDSR, schema.BackboneCMConfig(), schema.BackboneWRNConfig(depth=10, widen=1)],
    ids=lambda b: b.name,
)
def test_restoration_outputs_images_for_every_backbone(settings, backbone):
    model = build_model(settings, backbone, THREE, (1, 24, 16)).eval()
    x = torch.rand(3, 1, 24, 16)
    out = model(x)
    assert {name: tuple(y.shape) for name, y in out.items()} == {
        "restored": (3, 1, 24, 16),
        "by_l1": (3, 1, 24, 16),
        "kind": (3, 4),
    }
    decoded = model.decode(x, model.share(x))
    assert all(torch.equal(out[name], decoded[name]) for name in out)


@pytest.mark.parametrize("settings", ARCHITECTURES, ids=lambda s: s.name)
def test_zero_correction_returns_the_image(settings):
    model = build_model(settings, VDSR, THREE[:2], (1, 12, 12))
    x = torch.rand(2, 1, 12, 12)
    assert not torch.equal(model(x)["restored"], x)
    for name in ("restored", "by_l1"):
        nn.init.zeros_(model.heads[name].correct.weight)
    assert all(torch.equal(y, x) for y in model(x).values())


def test_tasks_share_a_trunk_with_own_convolutions():
    model = build_model(schema.HPSConfig(), VDSR, THREE[:2], (1, 12, 12))
    assert size(model.trunk) == 9 * 6 + 2 * 9 * 36 and len(model.task_parameters("by_l1")) == 1
    model(torch.rand(2, 1, 12, 12))["restored"].square().sum().backward()
    assert all(p.grad is None for p in model.task_parameters("by_l1"))
    assert all(p.grad is not None for p in model.shared_parameters())


def test_a_linear_edsr_still_reaches_every_pixel():
    model = build_model(schema.STLConfig(), EDSR, ONE, (1, 8, 8))
    x = torch.rand(1, 1, 8, 8, requires_grad=True)
    model(x)["restored"].sum().backward()
    assert (x.grad != 0).all()


@pytest.mark.parametrize("backbone", [VDSR, EDSR], ids=lambda b: b.name)
def test_their_layers_can_be_pruned_and_scaled(backbone):
    model = build_model(schema.HPSConfig(), backbone, ONE, (1, 16, 16))
    assert model.prunable and all(name.startswith("trunk.") for name in model.prunable)
    lsuv_(model, torch.rand(16, 1, 16, 16), torch.Generator().manual_seed(0))
    assert torch.isfinite(model(torch.rand(1, 1, 16, 16))["restored"]).all()


@pytest.mark.parametrize(
    ("backbone", "task", "shape", "message"),
    [
        (VDSR, ONE[0], (3, 12, 12), "restores 1 channel"),
        (EDSR, ONE[0], (1, 9, 12), "multiples of it. Found 9 x 12"),
    ],
)
def test_images_that_do_not_fit_are_refused(backbone, task, shape, message):
    with pytest.raises(BadInput, match=message):
        build_model(schema.STLConfig(), backbone, [task], shape)


def test_correction_without_an_image_is_refused():
    head = build_model(schema.STLConfig(), VDSR, ONE, (1, 8, 8)).heads["restored"]
    with pytest.raises(BadInput, match="does not pass the image to its heads"):
        head(torch.rand(1, 6, 8, 8))


@pytest.mark.parametrize("backbone", [VDSR, schema.BackboneKTDEConfig(blocks=2, width=4)])
def test_mtln_supports_correction_heads(backbone):
    images = torch.rand(2, 1, 12, 12)
    model = build_model(schema.MTLNConfig(attention=3), backbone, ONE, (1, 12, 12)).eval()
    assert model(images)["restored"].shape == images.shape
    for weight in model.heads.parameters():
        nn.init.zeros_(weight)
    assert torch.equal(model(images)["restored"], images)
