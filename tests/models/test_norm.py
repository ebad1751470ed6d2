"""Normalisation of a shared trunk: which statistics are used, and the cost of each policy."""

import copy

import pytest
import torch
from torch import nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.deploy.compact import compact
from mtsearch.deploy.serving import Serving
from mtsearch.models import build_model, model_macs
from mtsearch.models.norm import renormalise_, set_norm_task

torch.set_num_threads(1)

TASKS = [
    TaskCard(name="image", outputs=10),
    TaskCard(name="digit", outputs=10),
    TaskCard(name="pixels", kind="segmentation", outputs=3),
]
NAMES = [task.name for task in TASKS]
SHAPE = (3, 32, 32)
CM = schema.BackboneCMConfig()
ALL = [schema.HPSConfig, schema.MDMTNConfig, schema.MTANConfig]


def built(norm, architecture=schema.HPSConfig, backbone=CM):
    torch.manual_seed(3)
    return build_model(architecture(norm=norm), backbone, TASKS, SHAPE)


def statistics(model):
    return {
        name: buffer.clone() for name, buffer in model.trunk.named_buffers() if "running" in name
    }


@pytest.mark.parametrize("architecture", ALL)
@pytest.mark.parametrize(
    ("norm", "more"), [("task_statistics", 0), ("task_affine", 2 * 2 * (16 + 32)), ("group", 0)]
)
def test_parameters_of_each_norm_policy(architecture, norm, more):
    plain, model = built("shared", architecture), built(norm, architecture)
    assert (
        sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in plain.parameters())
        == more
    )
    parts = [model.shared_parameters(), *(model.task_parameters(name) for name in NAMES)]
    listed = [id(p) for part in parts for p in part]
    assert len(listed) == len(set(listed)) and set(listed) == {id(p) for p in model.parameters()}
    own = sum(p.numel() for p in model.task_parameters("image")) - sum(
        p.numel() for p in plain.task_parameters("image")
    )
    assert own == (2 * (16 + 32) if norm == "task_affine" else 0)
    assert model.separate == (norm != "group") and not plain.separate


@pytest.mark.parametrize("norm", ["task_statistics", "task_affine"])
def test_step_updates_statistics_of_its_own_task(norm):
    model = built(norm).train()
    before = statistics(model)
    model(torch.randn(8, *SHAPE) + 1, ["digit"])
    moved = {
        name for name, value in statistics(model).items() if not torch.equal(value, before[name])
    }
    assert moved and all(".digit." in name for name in moved)
    assert len(moved) == 4


@pytest.mark.parametrize("architecture", ALL)
@pytest.mark.parametrize("norm", ["task_statistics", "task_affine"])
def test_evaluation_is_independent_of_training_order(architecture, norm):
    """Three forward passes per task on its own images, without training, so that only the
    statistics depend on the order."""
    batches = {
        name: [torch.randn(8, *SHAPE) * (1 + place) + place for _ in range(3)]
        for place, name in enumerate(NAMES)
    }
    outputs = []
    for order in (NAMES * 3, sorted(NAMES * 3)):
        model, left = built(norm, architecture).train(), copy.deepcopy(batches)
        for name in order:
            model(left[name].pop(), [name])
        model.eval()
        together = model(torch.ones(2, *SHAPE))
        for name in reversed(NAMES):
            torch.testing.assert_close(
                model(torch.ones(2, *SHAPE), [name])[name], together[name], rtol=0, atol=0
            )
        outputs.append(together)
    for name in NAMES:
        assert torch.equal(outputs[0][name], outputs[1][name])


def test_shared_statistics_do_depend_on_it():
    outputs = []
    for order in (["image", "digit"], ["digit", "image"]):
        model = built("shared").train()
        for name in order:
            model(torch.full((8, *SHAPE), NAMES.index(name) + 1.0), [name])
        outputs.append(model.eval()(torch.ones(2, *SHAPE))["image"])
    assert not torch.equal(*outputs)


@pytest.mark.parametrize("norm", ["task_statistics", "task_affine"])
def test_equal_data_gives_the_shared_norm_result(norm):
    plain, model = built("shared"), built(norm)
    x = torch.randn(8, *SHAPE)
    for mode in (True, False):
        expected, found = plain.train(mode)(x), model.train(mode)(x)
        for name in NAMES:
            torch.testing.assert_close(found[name], expected[name])


@pytest.mark.parametrize("norm", ["task_statistics", "task_affine"])
def test_every_task_starts_from_pretrained_statistics(norm):
    trunk = built("shared").trunk
    trunk.train()(torch.randn(8, *SHAPE))
    expected = trunk.eval()(torch.ones(2, *SHAPE))
    renormalise_(trunk, norm, NAMES)
    for name in NAMES:
        set_norm_task(trunk, name)
        assert all(
            torch.equal(a, b)
            for a, b in zip(trunk.eval()(torch.ones(2, *SHAPE)), expected, strict=True)
        )


@pytest.mark.parametrize(("norm", "shared"), [("task_statistics", True), ("task_affine", False)])
def test_affine_parameters_are_shared_or_per_task(norm, shared):
    model = built(norm)
    model(torch.randn(8, *SHAPE), ["image"])["image"].square().mean().backward()
    learned = {
        name
        for name, p in model.trunk.named_parameters()
        if p.grad is not None and ("norm" in name or p.ndim == 1)
    }
    assert ("body.2.weight" in learned) == shared
    assert ("body.2.norms.image.weight" in learned) != shared
    assert not any(".digit." in name for name in learned)


def test_trunk_runs_and_counts_once_per_task():
    one = model_macs(built("shared").trunk, SHAPE)
    assert model_macs(built("task_affine"), SHAPE) - model_macs(built("shared"), SHAPE) == 2 * one
    assert model_macs(built("group"), SHAPE) == model_macs(built("shared"), SHAPE)


def test_group_norm_groups_have_at_least_four_channels():
    groups = {
        m.num_channels: m.num_groups
        for m in built("group").modules()
        if isinstance(m, nn.GroupNorm)
    }
    assert groups == {16: 4, 32: 8}


def test_torchvision_blocks_are_normalised_too():
    backbone = schema.BackboneTorchvisionConfig(model="resnet18")
    for tasks in (TASKS[:2], TASKS):
        model = build_model(schema.HPSConfig(norm="task_affine"), backbone, tasks, SHAPE)
        assert len([m for m in model.trunk.modules() if isinstance(m, nn.BatchNorm2d)]) == 20 * len(
            tasks
        )
        model.train()(torch.randn(2, *SHAPE), ["digit"])["digit"].sum().backward()
        assert all(p.grad is not None for p in model.task_parameters("digit"))


@pytest.mark.parametrize("norm", ["task_statistics", "task_affine", "group"])
def test_compaction_leaves_the_outputs(norm):
    model = built(norm).double()
    model.train()(torch.randn(16, *SHAPE, dtype=torch.float64))
    model.eval()
    with torch.no_grad():
        for name in model.prunable:
            model.get_submodule(name).weight[:, ::2] = 0
    served = Serving(model, [0.5] * 3, [0.25] * 3).double()
    small = compact(served, SHAPE)
    x = torch.randn(3, *SHAPE, dtype=torch.float64)
    for name, value in served(x).items():
        torch.testing.assert_close(small.model(x)[name], value)
    assert "could not be traced" not in small.notes[0]
    assert sum(p.numel() for p in small.model.parameters()) < 0.7 * sum(
        p.numel() for p in model.parameters()
    )


def test_norm_refuses_single_tasks_and_missing_batch_norm():
    with pytest.raises(
        BadInput, match=r"`trial.architecture.norm` is task_affine, which needs several tasks"
    ):
        build_model(schema.HPSConfig(norm="task_affine"), CM, TASKS[:1], SHAPE)
    with pytest.raises(
        BadInput,
        match=(
            r"`trial.architecture.norm` is task_affine, but the backbone's trunk has no batch norm"
        ),
    ):
        build_model(
            schema.HPSConfig(norm="task_affine"), schema.BackboneMMConfig(), TASKS[:2], (1, 28, 28)
        )
