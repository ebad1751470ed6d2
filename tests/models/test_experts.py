"""Cross-stitch, MMoE, CGC and DSelect-k."""

import pytest
import torch

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.deploy.compact import compact
from mtsearch.deploy.serving import Serving
from mtsearch.models import build_backbone, build_model
from mtsearch.models.gates import DSelectGate, GateInput, smooth_step

torch.set_num_threads(1)

TASKS = [TaskCard(name="left", outputs=10), TaskCard(name="right", outputs=10)]
MIXED = [TaskCard(name="scene", outputs=7), TaskCard(name="pixels", kind="segmentation", outputs=5)]
CM, SHAPE = schema.BackboneCMConfig(), (3, 32, 32)
NEW = [
    schema.CrossStitchConfig(),
    schema.CrossStitchConfig(units="layer"),
    schema.MMoEConfig(),
    schema.CGCConfig(),
    schema.DSelectKConfig(),
    schema.DSelectKConfig(per_example=True),
    schema.CGCConfig(experts=2, levels=2),
]


def size(module):
    return sum(p.numel() for p in module.parameters())


def built(settings, tasks=TASKS):
    torch.manual_seed(0)
    return build_model(settings, CM, tasks, SHAPE)


def test_networks_have_the_expected_parameters():
    trunk = size(build_backbone(CM, SHAPE).trunk(["vector"]))
    heads = size(built(schema.HPSConfig())) - trunk
    channels = build_backbone(CM, SHAPE).stages[0][0]
    gate = 3 * 8 * 8  # for each expert
    assert size(built(NEW[0])) == 2 * trunk + heads + 4 * channels
    assert size(built(NEW[1])) == 2 * trunk + heads + 4
    assert size(built(NEW[2])) == 3 * trunk + heads + 2 * 3 * gate
    assert size(built(NEW[3])) == 3 * trunk + heads + 2 * 2 * gate
    assert size(built(NEW[4])) == 4 * trunk + heads + 2 * (2 * 2 + 2)
    assert size(built(NEW[5])) == 4 * trunk + heads + 2 * (2 * 2 + 2) * gate


def test_cross_stitch_with_identity_is_one_network_per_task():
    model = built(NEW[0]).eval()
    x = torch.randn(3, *SHAPE)
    with torch.no_grad():
        for place, name in enumerate(("left", "right")):
            model.stitches[0][name].alpha.zero_()[place] = 1
        outputs = model(x)
        for name, value in outputs.items():
            alone = model.heads[name](model.trunks[name](x)[0])
            torch.testing.assert_close(value, alone)


def test_mmoe_mixes_experts_by_softmax_of_image():
    model = built(NEW[2]).eval()
    x = torch.randn(3, *SHAPE)
    blocks = x.reshape(3, 3, 8, 4, 8, 4).mean((3, 5)).flatten(1)
    weights = (blocks @ model.gates["left"].weight.T).softmax(1)
    features = torch.stack([expert(x)[0] for expert in model.experts], 1)
    expected = model.heads["left"]((weights[:, :, None] * features).sum(1))
    torch.testing.assert_close(model(x)["left"], expected)


def test_cgc_tasks_read_shared_and_own_experts():
    model = built(NEW[3]).eval()
    x = torch.randn(3, *SHAPE)
    with torch.no_grad():
        before = model(x)
        for parameter in model.own["left"].parameters():
            parameter.mul_(2)
        after = model(x)
    assert not torch.allclose(before["left"], after["left"])
    torch.testing.assert_close(before["right"], after["right"])


def plain_ple(model, x, levels, stages):
    """The outputs of a PLE with equal numbers of stages in all levels, as in the paper."""

    def advanced(expert, level, features):
        for stage in range(level * stages // levels, (level + 1) * stages // levels):
            features = expert.advance(stage, features)
        return features

    def mixed(gate, read, features):
        pooled = gate.read(read)
        weights = (pooled @ gate.weight.T).softmax(1)
        return sum(
            w.view(-1, *[1] * (f.dim() - 1)) * f for w, f in zip(weights.T, features, strict=True)
        )

    names = list(model.own)
    states, common = dict.fromkeys(names, x), x
    for level in range(levels):
        shared = [advanced(e, level, common) for e in model.experts]
        own = {n: [advanced(e, level, states[n]) for e in model.own[n]] for n in names}
        if level == levels - 1:
            shared = [e.neck(f) for e, f in zip(model.experts, shared, strict=True)]
            for n in names:
                own[n] = [e.neck(f) for e, f in zip(model.own[n], own[n], strict=True)]
        before, states = states, {}
        for n in names:
            states[n] = mixed(model.gates[level][n], before[n], [*shared, *own[n]])
        if level < levels - 1:
            every = [*shared, *(f for n in names for f in own[n])]
            common = mixed(model.common[level], common, every)
    return {n: model.heads[n](states[n]) for n in names}


@pytest.mark.parametrize(("levels", "stages"), [(2, 2), (4, 4), (2, 4)])
def test_ple_mixes_behind_every_level(levels, stages):
    torch.manual_seed(0)
    tasks = [*TASKS, TaskCard(name="third", outputs=3)]
    backbone = schema.BackboneWRNConfig(depth=10, widen=1) if stages == 4 else CM
    settings = schema.CGCConfig(experts=2, own=2, levels=levels)
    model = build_model(settings, backbone, tasks, SHAPE).eval()
    assert len(build_backbone(backbone, SHAPE).stages) == stages
    x = torch.randn(3, *SHAPE)
    expected = plain_ple(model, x, levels, stages)
    for name, value in model(x).items():
        torch.testing.assert_close(value, expected[name])


def test_ple_with_one_level_is_cgc():
    torch.manual_seed(0)
    x, one = torch.randn(2, *SHAPE), built(schema.CGCConfig(levels=1)).eval()
    torch.testing.assert_close(one(x), built(NEW[3]).eval()(x), rtol=0, atol=0)


def test_ple_needs_as_many_stages_as_levels():
    with pytest.raises(BadInput, match="at most the number of stages"):
        built(schema.CGCConfig(levels=9))


def test_gate_input_has_equal_blocks():
    assert GateInput((1, 28, 36)).size == 7 * 6
    assert GateInput((3, 31, 32)).size == 3 * 1 * 8


def test_smooth_step_has_the_published_values_and_slope():
    t = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0], requires_grad=True)
    value = smooth_step(t, 2.0)
    torch.testing.assert_close(value, torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]))
    (slope,) = torch.autograd.grad(value.sum(), t)
    torch.testing.assert_close(slope, torch.tensor([0.0, 0.0, 0.75, 0.0, 0.0]))


@pytest.mark.parametrize("per_example", [False, True])
def test_dselect_gate_is_a_distribution(per_example):
    gate = DSelectGate(SHAPE, 8, 3, 1.0, per_example)
    weights = gate(torch.randn(5, *SHAPE))
    assert weights.shape == (5 if per_example else 1, 8) and bool((weights >= 0).all())
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)))


def test_saturated_dselect_gate_chooses_k_experts():
    gate, x = DSelectGate(SHAPE, 8, 2, 1.0, False), torch.randn(2, *SHAPE)
    assert float(gate.entropy(x)) == pytest.approx(2 * torch.tensor(8.0).log().item(), abs=0.01)
    with torch.no_grad():
        gate.code.copy_(torch.tensor([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]]))
        gate.alpha.zero_()
    expected = torch.zeros(1, 8)
    expected[0, 0b101] = expected[0, 0b110] = 0.5  # bit b of the expert is the sign of logit b
    torch.testing.assert_close(gate(x), expected)
    assert float(gate.entropy(x)) == pytest.approx(0, abs=1e-5)
    gate.entropy(x).backward()
    assert bool(gate.code.grad.isfinite().all())


def test_entropy_is_added_to_the_loss_of_the_task():
    model, x = built(NEW[4]), torch.randn(2, *SHAPE)
    extra = model.extra_losses(x, model.share(x), ["right"])
    assert list(extra) == ["right"]
    torch.testing.assert_close(extra["right"], 0.001 * model.gates["right"].entropy(x))
    assert not built(schema.DSelectKConfig(entropy=0)).extra_losses(x, model.share(x))


@pytest.mark.parametrize("settings", NEW, ids=lambda s: s.name)
def test_compaction_leaves_the_outputs(settings):
    model = built(settings, MIXED).eval().double()
    with torch.no_grad():
        for name in model.prunable:
            model.get_submodule(name).weight[:, ::3] = 0
    served = Serving(model, [0.5] * 3, [0.25] * 3).double()
    small = compact(served, SHAPE)
    x = torch.randn(3, *SHAPE, dtype=torch.float64)
    for name, value in served(x).items():
        torch.testing.assert_close(small.model(x)[name], value)
    assert size(small.model) < 0.8 * size(model)


def test_one_task_networks_work():
    for settings in NEW:
        assert list(built(settings, TASKS[:1])(torch.randn(2, *SHAPE))) == ["left"]


def test_cross_stitch_refuses_backbones_without_stages():
    with pytest.raises(BadInput, match="needs at least 2"):
        build_model(
            schema.CrossStitchConfig(),
            schema.BackboneTorchvisionConfig(model="vit_b_32"),
            TASKS,
            (3, 32, 32),
        )


def test_dselect_k_refuses_more_choices_than_experts():
    with pytest.raises(ValueError, match="at most as many `chosen`"):
        schema.DSelectKConfig(experts=2, chosen=3)
