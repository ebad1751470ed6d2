"""SegNet and MTLN over it: sizes, unpooling, the parts that a task uses."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models import build_model
from mtsearch.models.trunk_segnet import unpool

torch.set_num_threads(1)

NARROW = schema.BackboneSegNetConfig(widths=(4, 6, 8, 10, 12))


def pair(classes: int) -> list[TaskCard]:
    """A scene task and a pixel task with the same classes and an undefined class."""
    return [
        TaskCard(name="scene", outputs=classes),
        TaskCard(name="pixels", kind="segmentation", outputs=classes + 1),
    ]


def size(module) -> int:
    return sum(p.numel() for p in (module if isinstance(module, list) else module.parameters()))


def abstract(tasks, settings=None):
    with torch.device("meta"):
        return build_model(
            settings or schema.MTLNSegNetConfig(),
            schema.BackboneSegNetConfig(),
            tasks,
            (3, 224, 224),
        )


def narrow(tasks=None, shape=(3, 40, 33), settings=None):
    torch.manual_seed(0)
    return build_model(settings or schema.MTLNSegNetConfig(), NARROW, tasks or pair(3), shape)


@pytest.mark.parametrize(("classes", "total"), [(5, 40_023_563), (15, 40_029_343)])
def test_parts_and_totals_have_their_sizes(classes, total):
    model = abstract(pair(classes))
    body = model.trunk.body
    assert size(body.encoder_first) + size(body.encoder_second) == 14_723_136
    assert size(body.decoder_first) + size(body.decoder_second) == 10_220_160
    assert size(model.encoder_extractors) == 6_272_640
    assert size(model.decoder_extractors) == 3_947_520
    assert size(model.shared_parameters()) == 35_163_456
    assert (
        size(model.encoder_attention["scene"])
        == size(model.encoder_attention["pixels"])
        == 1_835_648
    )
    assert size(model.decoder_attention["pixels"]) == 1_148_928
    assert size(model) == total


def test_three_pixel_tasks_have_the_published_size():
    tasks = [TaskCard(name=f"task{n}", kind="segmentation", outputs=n) for n in (13, 1, 3)]
    loss_weights = 3  # the release learns one uncertainty a task
    assert size(abstract(tasks)) + loss_weights == 44_229_076


def test_unpooling_restores_the_positions_of_maxima():
    x = torch.randn(2, 3, 7, 10)
    pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    assert torch.equal(
        unpool(pooled, indices, (7, 10)), F.max_unpool2d(pooled, indices, 2, output_size=(7, 10))
    )


def test_scenes_need_no_decoder():
    alone = narrow(pair(3)[:1])
    assert not any("decoder" in name for name, _ in alone.named_parameters())
    model = narrow()
    x = torch.randn(2, 3, 40, 33)
    assert [len(model.share(x, tasks)) for tasks in (["scene"], ["pixels"], None)] == [10, 20, 20]
    model.eval()
    assert torch.equal(model(x, ["scene"])["scene"], model(x)["scene"])


@pytest.mark.parametrize(
    "settings",
    [
        schema.MTLNSegNetConfig(),
        schema.MTLNSegNetConfig(ratio=0.25, form="residual"),
        schema.HPSConfig(),
        schema.STLConfig(),
    ],
)
def test_output_shapes_and_parameter_owners(settings):
    model = narrow(settings=settings)
    out = model(torch.randn(2, 3, 40, 33))
    assert {name: tuple(v.shape) for name, v in out.items()} == {
        "scene": (2, 3),
        "pixels": (2, 4, 40, 33),
    }
    sum(v.square().mean() for v in out.values()).backward()
    assert all(p.grad is not None for p in model.parameters())
    parts = [
        model.shared_parameters(),
        model.task_parameters("scene"),
        model.task_parameters("pixels"),
    ]
    listed = [id(p) for part in parts for p in part]
    assert len(listed) == len(set(listed))
    assert set(listed) == {id(p) for p in model.parameters()}


def test_masks_lie_between_0_and_1():
    model, masks = narrow(), []
    for module in model.modules():
        if isinstance(module, nn.Sigmoid):
            module.register_forward_hook(lambda m, i, out: masks.append(out))
    model(torch.randn(2, 3, 40, 33))
    # five encoder levels for each of two tasks, five decoder levels for the pixel task
    assert len(masks) == 15
    assert all(bool((m > 0).all() and (m < 1).all()) for m in masks)


@pytest.mark.parametrize(
    ("settings", "backbone", "side", "part"),
    [
        (
            schema.MTLNSegNetConfig(),
            schema.BackboneWRNConfig(depth=10, widen=1),
            32,
            "Set `trial.backbone: segnet`",
        ),
        (schema.HPSConfig(), NARROW, 24, "at least 32 x 32"),
    ],
)
def test_what_does_not_fit_is_refused(settings, backbone, side, part):
    with pytest.raises(BadInput, match=part):
        build_model(settings, backbone, pair(3), (3, side, side))
