"""The CIFAR variant of EfficientNet-B0: sizes, blocks, limits (invariants 1 to 3 of the alternating
specification)."""

import pytest
import torch
from torch import nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models import build_model, model_macs
from mtsearch.models.trunk_efficientnet import Block

torch.set_num_threads(1)

TASKS = [TaskCard(name="fashion", outputs=5), TaskCard(name="object", outputs=10)]
PUBLISHED = schema.BackboneEfficientNetCIFARConfig()
SMALL = schema.BackboneEfficientNetCIFARConfig(width=0.25, depth=0.5)


def size(module):
    return sum(p.numel() for p in module.parameters())


def built(settings=PUBLISHED, side=32, tasks=TASKS, architecture=None):
    torch.manual_seed(1)
    return build_model(architecture or schema.HPSConfig(), settings, tasks, (3, side, side))


def test_the_published_counts():
    model = built()
    body = model.trunk.body
    assert size(model) == 2_913_694
    assert size(model.trunk) == 2_908_879
    assert [size(model.heads[name]) for name in ("fashion", "object")] == [1_605, 3_210]
    assert size(body.stem) == 928
    assert [size(group) for group in body.groups] == [
        2_033,
        14_546,
        33_972,
        201_135,
        431_845,
        1_605_840,
        618_580,
    ]
    assert [[size(block) for block in group] for group in body.groups] == [
        [2_033],
        [5_641, 8_905],
        [11_370, 22_602],
        [32_965, 84_085, 84_085],
        [109_495, 161_175, 161_175],
        [218_220, 462_540, 462_540, 462_540],
        [618_580],
    ]
    norms = [m for m in body.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 51 and sum(size(m) for m in norms) == 39_792
    assert sum(size(m.excite) for m in body.modules() if isinstance(m, Block)) == 40_703
    more = built(tasks=[*TASKS, TaskCard(name="letter", outputs=26)])
    assert size(more) - size(model) == 321 * 26


def test_the_published_cost():
    assert model_macs(built(), (3, 32, 32)) == pytest.approx(26.98e6, rel=1e-3)


@pytest.mark.parametrize("side", [1, 20, 32])
def test_small_images_give_one_pixel_of_320_channels(side):
    model, pooled = (
        built(side=side).eval(),
        built(schema.BackboneEfficientNetCIFARConfig(pool=True), side).eval(),
    )
    x = torch.randn(2, 3, side, side)
    with torch.no_grad():
        (features,) = model.share(x)
        assert features.shape == (2, 320)
        assert [tuple(out.shape) for out in model(x).values()] == [(2, 5), (2, 10)]
        assert all(
            torch.equal(a, b) for a, b in zip(model(x).values(), pooled(x).values(), strict=True)
        )


def test_larger_images_are_refused_or_pooled():
    with pytest.raises(
        BadInput, match=r"at most 32 x 32 pixels\. Found 33 x 33\. Set `trial.backbone.pool`"
    ):
        built(side=33)
    assert built(schema.BackboneEfficientNetCIFARConfig(width=0.25, pool=True), 48)(
        torch.randn(2, 3, 48, 48)
    )["object"].shape == (2, 10)


def block_of(inputs, outputs, stride, **settings):
    return Block(inputs, outputs, 6, stride, schema.BackboneEfficientNetCIFARConfig(**settings))


def moved(block):
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
            module.running_mean.normal_(0, 0.2)
    return block.eval()


def test_stride_2_block_scales_its_own_projection():
    block, x = moved(block_of(8, 12, 2, se_ratio=4)), torch.randn(2, 8, 7, 7)
    u = block.body(x)
    torch.testing.assert_close(block(x), u * (1 + block.excite(u)))
    assert block(x).shape == (2, 12, 4, 4)
    assert block.excite[1].out_channels == 3


def test_stride_1_block_with_zero_projection_is_identity():
    block, x = moved(block_of(8, 8, 1)), torch.randn(2, 8, 7, 7)
    nn.init.zeros_(block.body[-1].weight)
    nn.init.zeros_(block.body[-1].bias)
    block.body[-1].running_mean.zero_()
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("skip", ["none", "pooled"])
@pytest.mark.parametrize("side", [7, 8])
def test_other_skips_of_stride_2(skip, side):
    block, x = moved(block_of(8, 12, 2, stride_skip=skip)), torch.randn(2, 8, side, side)
    u = block.body(x)
    weighed = u * block.excite(u)
    expected = weighed if skip == "none" else weighed + block.shortcut(x)
    torch.testing.assert_close(block(x), expected)
    assert size(block) - size(block_of(8, 12, 2, stride_skip="none")) == (
        0 if skip == "none" else 8 * 12 + 2 * 12
    )


def test_width_and_depth_scale_channels_and_blocks():
    body = built(schema.BackboneEfficientNetCIFARConfig(width=0.5, depth=2)).trunk.body
    assert [len(group) for group in body.groups] == [2, 4, 4, 6, 6, 8, 2]
    assert [group[-1].body[-1].num_features for group in body.groups] == [
        8,
        12,
        20,
        40,
        56,
        96,
        160,
    ]
    assert [len(group) for group in built(SMALL).trunk.body.groups] == [1, 1, 1, 2, 2, 2, 1]
    assert (
        built(schema.BackboneEfficientNetCIFARConfig(se_ratio=4))
        .trunk.body.groups[6][0]
        .excite[1]
        .out_channels
        == 80
    )


@pytest.mark.parametrize(
    "architecture",
    [
        schema.STLConfig(),
        schema.MDMTNConfig(),
        schema.MTANConfig(),
        schema.HPSConfig(norm="task_affine"),
        schema.HPSConfig(norm="group"),
    ],
    ids=lambda settings: f"{settings.name}-{getattr(settings, 'norm', '')}",
)
def test_every_architecture_supports_the_backbone(architecture):
    tasks = [TASKS[0], TaskCard(name="pixels", kind="segmentation", outputs=3)]
    model = built(SMALL, 32, tasks, architecture)
    out = model(torch.randn(3, 3, 32, 32))
    assert out["fashion"].shape == (3, 5) and out["pixels"].shape == (3, 3, 32, 32)
    sum(value.square().mean() for value in out.values()).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_squeeze_excitation_can_precede_the_projection():
    block, x = moved(block_of(8, 12, 1, se_place="before", se_ratio=4)), torch.randn(2, 8, 7, 7)
    wide = block.body[:6](x)
    weights = block.body[6].excite(wide)
    assert wide.shape[1] == 48 and block.body[6].excite[1].out_channels == 12
    assert ((weights > 0) & (weights < 1)).all()
    torch.testing.assert_close(block(x), block.body[7:](wide * weights) + block.shortcut(x))


def test_squeeze_width_respects_its_minimum():
    body = built(schema.BackboneEfficientNetCIFARConfig(se_least=8)).trunk.body
    assert [group[0].excite[1].out_channels for group in body.groups] == [8, 8, 8, 8, 8, 12, 20]


def test_early_excitation_uses_every_parameter():
    model = built(schema.BackboneEfficientNetCIFARConfig(width=0.25, depth=0.5, se_place="before"))
    sum(value.square().mean() for value in model(torch.randn(4, 3, 32, 32)).values()).backward()
    assert all(p.grad is not None for p in model.parameters())
