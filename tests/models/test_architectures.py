"""Architectures: parameter counts, shared features, prunable layers."""

import pytest
import torch
from torch import nn

from mtsearch.config import schema
from mtsearch.config.base import Model
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.registry import method
from mtsearch.models import Backbone, MultiTaskModel, architecture, build_model, model_macs

torch.set_num_threads(1)

DIGITS = [TaskCard(name="left", outputs=10), TaskCard(name="right", outputs=10)]
MIXED = [
    TaskCard(name="scene", outputs=7),
    TaskCard(name="pixels", kind="segmentation", outputs=5),
    TaskCard(name="age", kind="regression", outputs=1),
]
MM, CM = (schema.BackboneMMConfig(), (1, 28, 28)), (schema.BackboneCMConfig(), (3, 32, 32))
WRN = (schema.BackboneWRNConfig(depth=10, widen=1), (3, 24, 16))
ARCHITECTURES = [
    schema.STLConfig(),
    schema.HPSConfig(),
    schema.MDMTNConfig(),
    schema.MDMTNConfig(mixing="static"),
    schema.MTANConfig(),
]


def size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def rows(model: nn.Module, names: tuple[str, ...] | None = None) -> int:
    kept = [
        m.weight
        for n, m in model.named_modules()
        if isinstance(m, nn.Conv2d | nn.Linear) and (names is None or n in names)
    ]
    return sum(weight.shape[1] for weight in kept)


@pytest.mark.parametrize(
    ("settings", "backbone", "parameters", "total_rows", "prunable_rows"),
    [
        (schema.STLConfig(), MM, 2 * 21_840, 2 * 381, 2 * 330),
        (schema.STLConfig(), CM, 2 * 42_410, 2 * 1203, 2 * 1168),
        (schema.HPSConfig(), MM, 22_350, 431, 330),
        (schema.HPSConfig(), CM, 42_740, 1_235, 1_168),
        (schema.MDMTNConfig(), MM, 311_494, 6_193, 6_090),
        (schema.MDMTNConfig(), CM, 505_528, 15_641, 15_568),
        (schema.MDMTNConfig(mixing="static"), MM, 311_490, 6_193, 6_090),
        (schema.MDMTNConfig(mixing="static"), CM, 505_524, 15_641, 15_568),
        (schema.MTANConfig(), MM, 270_150, 431 + 2 * 660, 330 + 2 * 660),
        (schema.MTANConfig(), CM, 2_783_060, 1_235 + 2 * 2_336, 1_168 + 2 * 2_336),
    ],
)
def test_parameter_and_row_counts_are_the_papers(
    settings, backbone, parameters, total_rows, prunable_rows
):
    model = build_model(settings, backbone[0], DIGITS, backbone[1])
    assert size(model) == parameters
    assert rows(model) == total_rows
    assert rows(model, model.prunable) == prunable_rows


def test_a_trunk_layer_has_the_papers_size():
    model = build_model(schema.MDMTNConfig(), *[MM[0]], DIGITS, MM[1])
    assert size(model.trunk) == 21_330
    assert size(model.monitors["left"]) == 144_570
    model = build_model(schema.MDMTNConfig(), CM[0], DIGITS, CM[1])
    assert size(model.trunk) == 42_080
    assert size(model.monitors["left"]) == 231_392


@pytest.mark.parametrize("settings", ARCHITECTURES, ids=lambda s: f"{s.name}")
@pytest.mark.parametrize("backbone", [MM, CM, WRN], ids=["mm", "cm", "wrn"])
@pytest.mark.parametrize(
    "tasks", [DIGITS[:1], DIGITS, MIXED, MIXED[1:2]], ids=["one", "two", "mixed", "pixels"]
)
def test_forward_is_decode_after_share(settings, backbone, tasks):
    model = build_model(settings, backbone[0], tasks, backbone[1]).eval()
    x = torch.randn(3, *backbone[1])
    out = model(x)
    expected = {
        t.name: (3, t.outputs, *backbone[1][1:]) if t.kind == "segmentation" else (3, t.outputs)
        for t in tasks
    }
    assert {name: tuple(value.shape) for name, value in out.items()} == expected
    decoded = model.decode(x, model.share(x))
    assert all(torch.equal(out[name], decoded[name]) for name in out)
    last = tasks[-1].name
    only = model(x, [last])
    assert list(only) == [last]
    assert torch.equal(only[last], out[last])
    assert model.extra_losses(x, model.share(x, [last]), [last]) == {}


@pytest.mark.parametrize("settings", ARCHITECTURES, ids=lambda s: f"{s.name}")
def test_shared_and_task_parameters_partition_the_network(settings):
    model = build_model(settings, CM[0], MIXED, CM[1])
    parts = [model.shared_parameters(), *(model.task_parameters(t.name) for t in MIXED)]
    listed = [id(p) for part in parts for p in part]
    assert len(listed) == len(set(listed))
    assert set(listed) == {id(p) for p in model.parameters()}


@pytest.mark.parametrize("settings", ARCHITECTURES, ids=lambda s: f"{s.name}")
def test_every_parameter_is_used_by_its_tasks_only(settings):
    model = build_model(settings, CM[0], MIXED, CM[1])
    x = torch.randn(4, *CM[1])
    sum(value.square().mean() for value in model(x).values()).backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    model(x, ["scene"])["scene"].sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in model.task_parameters("pixels"))
    assert all(p.grad is not None for p in model.task_parameters("scene"))


@pytest.mark.parametrize("settings", ARCHITECTURES, ids=lambda s: f"{s.name}")
def test_prunable_layers_exclude_stems_and_heads(settings):
    model = build_model(settings, MM[0], DIGITS, MM[1])
    assert model.prunable
    for name in model.prunable:
        layer = model.get_submodule(name)
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        assert layer.weight.shape[1] != 1
        assert "heads" not in name


@pytest.mark.parametrize("backbone", [MM, CM], ids=["mm", "cm"])
def test_mdmtn_starts_as_hard_sharing_with_silent_monitors(backbone):
    hps = build_model(schema.HPSConfig(), backbone[0], DIGITS, backbone[1])
    mdmtn = build_model(schema.MDMTNConfig(), backbone[0], DIGITS, backbone[1])
    _, unexpected = mdmtn.load_state_dict(hps.state_dict(), strict=False)
    assert not unexpected
    x = torch.randn(8, *backbone[1])
    out = mdmtn(x)
    for name, logits in hps(x).items():
        torch.testing.assert_close(out[name], logits, rtol=0, atol=1e-6)
    sum(nn.functional.cross_entropy(v, torch.arange(8)) for v in out.values()).backward()
    for name in ("left", "right"):
        assert all(not p.grad.any() for p in mdmtn.monitors[name].parameters())
        assert mdmtn.mixes[name].alpha.grad[1] != 0
        assert torch.equal(mdmtn.mixes[name].alpha.detach(), torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize(("count", "pair"), [(1, (1.0, 0.0)), (2, (0.75, 0.25)), (5, (0.6, 0.4))])
def test_static_mixing_weights_are_buffers(count, pair):
    tasks = [TaskCard(name=f"task{i}", outputs=3) for i in range(count)]
    model = build_model(schema.MDMTNConfig(mixing="static"), MM[0], tasks, MM[1])
    torch.testing.assert_close(model.mixes["task0"].alpha, torch.tensor(pair))
    assert not any("alpha" in name for name, _ in model.named_parameters())
    assert "mixes.task0.alpha" in model.state_dict()


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 29, 40), (4, 64, 64)])
@pytest.mark.parametrize(
    "backbone", [schema.BackboneMMConfig(), schema.BackboneCMConfig()], ids=["mm", "cm"]
)
def test_sizes_follow_the_datasets_shape(shape, backbone):
    model = build_model(schema.MDMTNConfig(), backbone, DIGITS, shape)
    assert model(torch.randn(2, *shape))["left"].shape == (2, 10)


def test_macs_count_convolutions_and_linear_layers_per_image():
    model = build_model(schema.HPSConfig(), MM[0], DIGITS, MM[1])
    by_hand = 24 * 24 * 10 * 25 + 8 * 8 * 20 * 10 * 25 + 320 * 50 + 2 * 50 * 10
    assert model_macs(model, MM[1]) == by_hand
    assert model.training
    assert model_macs(nn.Sequential(nn.Conv2d(8, 16, 3, groups=4)), (8, 5, 5)) == 9 * 16 * 2 * 9


def test_macs_can_leave_out_zero_rows():
    model = build_model(schema.HPSConfig(), MM[0], DIGITS, MM[1])
    full = model_macs(model, MM[1])
    assert model_macs(model, MM[1], skip_zero_rows=True) == full
    with torch.no_grad():
        model.trunk.body[3].weight[:, [1, 4]] = 0
        model.trunk.neck[1].weight[:, :100] = 0
    assert model_macs(model, MM[1]) == full
    assert model_macs(model, MM[1], skip_zero_rows=True) == full - 8 * 8 * 20 * 2 * 25 - 100 * 50


@pytest.mark.parametrize(
    ("tasks", "shape", "part"),
    [
        ([], (1, 28, 28), "at least one task"),
        ([DIGITS[0], DIGITS[0]], (1, 28, 28), "distinct task names"),
        ([TaskCard(name="keys", outputs=2)], (1, 28, 28), "`keys`"),
        ([TaskCard(name="a.b", outputs=2)], (1, 28, 28), "`a.b`"),
        (DIGITS, (1, 15, 28), "at least 16 x 16"),
    ],
)
def test_invalid_networks_raise_bad_input(tasks, shape, part):
    with pytest.raises(BadInput, match=part):
        build_model(schema.HPSConfig(), schema.BackboneMMConfig(), tasks, shape)


def test_plug_in_architecture_needs_settings_and_builder():
    @method("architecture", "mean_of_pixels")
    class Settings(Model):
        """Only for this test."""

        name: str = "mean_of_pixels"

    with pytest.raises(BadInput, match="`Settings`"):
        build_model(Settings(), MM[0], DIGITS, MM[1])

    @architecture(Settings)
    class Mean(MultiTaskModel):
        def __init__(self, settings: Settings, backbone: Backbone, tasks) -> None:
            super().__init__(tasks)
            self.width = backbone.width

        def share(self, x, tasks=None):
            return [x.mean((1, 2, 3))]

        def decode(self, x, shared, tasks=None):
            return {name: shared[0][:, None] for name in self.chosen(tasks)}

    trial = schema.TrialConfig(architecture="mean_of_pixels")
    assert build_model(trial.architecture, MM[0], DIGITS, MM[1])(torch.ones(2, 1, 28, 28))[
        "left"
    ].shape == (2, 1)
