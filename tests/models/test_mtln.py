"""MTLN: sizes, shapes, shared parameters, and the effect of a step on one task."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models import build_model, model_macs

torch.set_num_threads(1)

SCENES = [TaskCard(name=name, outputs=12) for name in ("merced", "aid", "nwpu")]
PAIR = [TaskCard(name="scene", outputs=5), TaskCard(name="pixels", kind="segmentation", outputs=6)]
SMALL = schema.BackboneWRNConfig(depth=10, widen=1)


def size(parameters) -> int:
    return sum(
        p.numel()
        for p in (parameters.parameters() if isinstance(parameters, nn.Module) else parameters)
    )


def abstract(settings, backbone=None, tasks=SCENES, side=72):
    with torch.device("meta"):
        return build_model(settings, backbone or schema.BackboneWRNConfig(), tasks, (3, side, side))


def small(settings=None, tasks=SCENES, side=16):
    torch.manual_seed(0)
    return build_model(settings or schema.MTLNConfig(), SMALL, tasks, (3, side, side))


# ------------------------------------------------------------------ sizes


@pytest.mark.parametrize(
    ("depth", "widen", "total"),
    [
        (28, 4, 7_610_116),
        (10, 1, 194_164),
        (16, 2, 1_139_044),
        (16, 4, 4_508_164),
        (22, 4, 6_059_140),
        (28, 2, 1_915_876),
        (28, 8, 30_340_420),
    ],
)
def test_mtln_has_the_published_parameter_count(depth, widen, total):
    assert (
        size(abstract(schema.MTLNConfig(), schema.BackboneWRNConfig(depth=depth, widen=widen)))
        == total
    )


def test_each_part_has_its_size():
    model = abstract(schema.MTLNConfig())
    body = model.trunk.body
    assert size(model.trunk) == 5_850_528
    assert [size(body.stem), *map(size, body.groups), size(body.last)] == [
        448,
        269_792,
        1_117_184,
        4_462_592,
        512,
    ]
    assert [size(block) for block in body.groups[0]] == [47_456, 74_112, 74_112, 74_112]
    assert [size(e) for e in model.extractors] == [9_344, 73_984, 295_424, 590_336]
    assert [size(a) for a in model.attention["aid"]] == [576, 12_544, 49_664, 197_632]
    assert size(model.heads["aid"]) == 3_084
    assert size(model.shared_parameters()) == 5_850_528 + 969_088
    assert size(model.task_parameters("aid")) == 260_416 + 3_084


def test_parameter_counts_of_mtln_options():
    assert size(abstract(schema.MTLNConfig(bias=True))) == 7_613_604
    assert size(abstract(schema.MTLNConfig(extractors="per_task"))) == 7_610_116 + 2 * 969_088
    more = [*SCENES, TaskCard(name="rs19", outputs=19)]
    assert size(abstract(schema.MTLNConfig(), tasks=more)) == 7_610_116 + 260_416 + 257 * 19
    labels = [TaskCard(name=f"set{c}", outputs=c) for c in (21, 30, 45)]
    assert size(abstract(schema.MTLNConfig(), tasks=labels)) == 7_625_536


@pytest.mark.parametrize(("outputs", "parameters"), [(6, 148_038), (16, 148_688)])
def test_pixel_head_size_and_output_shape(outputs, parameters):
    tasks = [TaskCard(name="pixels", kind="segmentation", outputs=outputs)]
    for settings in (schema.MTLNConfig(), schema.HPSConfig(), schema.STLConfig()):
        model = abstract(settings, tasks=tasks, side=224)
        assert size(model.heads["pixels"]) == parameters
        assert model(torch.zeros(2, 3, 224, 224, device="meta"))["pixels"].shape == (
            2,
            outputs,
            224,
            224,
        )


def test_macs_are_those_of_the_published_network():
    assert model_macs(
        abstract(schema.MTLNConfig(), tasks=SCENES[:1]), (3, 72, 72)
    ) == pytest.approx(1.588e9, rel=1e-3)
    trunk = abstract(schema.HPSConfig(), tasks=SCENES[:1])
    assert model_macs(trunk, (3, 72, 72)) == pytest.approx(1.251e9, rel=1e-3)


# ------------------------------------------------------------------ shapes and masks


def seen(model: nn.Module, parts) -> list[torch.Tensor]:
    """Return a list to which the outputs of these modules are appended, in the order of their
    calls."""
    outputs: list[torch.Tensor] = []
    for part in parts:
        part.register_forward_hook(lambda m, i, out: outputs.append(out))
    return outputs


def test_published_shapes_at_72_pixels():
    model = abstract(schema.MTLNConfig())
    masks, features = seen(model, model.attention["aid"]), seen(model, model.extractors)
    x = torch.zeros(2, 3, 72, 72, device="meta")
    shared = model.share(x)
    assert [tuple(g.shape[1:]) for g in shared] == [
        (16, 72, 72),
        (64, 36, 36),
        (128, 18, 18),
        (256, 9, 9),
    ]
    assert model.decode(x, shared, ["aid"])["aid"].shape == (2, 12)
    assert [m.shape for m in masks] == [g.shape for g in shared]
    assert [tuple(p.shape[1:]) for p in features] == [
        (64, 36, 36),
        (128, 18, 18),
        (256, 9, 9),
        (256, 9, 9),
    ]


def test_masks_lie_between_0_and_1():
    model = small(side=32)
    masks, inputs = seen(model, model.attention["aid"]), []
    for e in model.extractors:
        e.register_forward_pre_hook(lambda m, args: inputs.append(args[0]))
    x = torch.randn(4, 3, 32, 32)
    shared = model.share(x)
    model.decode(x, shared, ["aid"])
    for g, mask, gated in zip(shared, masks, inputs, strict=True):
        assert (mask > 0).all()
        assert (mask < 1).all()
        assert (gated.abs() <= g.abs()).all()


@pytest.mark.parametrize("form", ["gate", "residual"])
def test_unit_masks_leave_only_the_head_task_specific(form):
    model = small(schema.MTLNConfig(form=form)).eval()
    for modules in model.attention.values():
        for module in modules:
            module.register_forward_hook(lambda m, i, out: torch.ones_like(out))
    for task in SCENES:
        model.heads[task.name].load_state_dict(model.heads["aid"].state_dict())
    out = model(torch.randn(4, 3, 16, 16))
    assert torch.equal(out["aid"], out["merced"])
    assert torch.equal(out["aid"], out["nwpu"])


def test_without_attention_the_branches_are_the_last_extractor():
    model = small(schema.MTLNConfig(attention=0))
    assert len(model.extractors) == 1
    assert not any(True for _ in model.attention.parameters())
    assert len(model.share(torch.zeros(2, 3, 16, 16))) == 1


@pytest.mark.parametrize("attention", range(5))
def test_block_without_attention_equals_unit_mask(attention):
    """A network with all blocks whose first masks are 1 gives the same outputs as the network
    without the blocks that are not read."""
    whole, cut = small().eval(), small(schema.MTLNConfig(attention=attention)).eval()
    cut.trunk.load_state_dict(whole.trunk.state_dict())
    pairs = [(whole.extractors, cut.extractors, min(4, attention + 1))] + [
        (whole.attention[t.name], cut.attention[t.name], attention) for t in SCENES
    ]
    for full, some, count in pairs:
        kept = list(full)[len(full) - len(some) :]  # those of the last blocks
        assert len(full) == 4 and len(some) == count
        for a, b in zip(kept, some, strict=True):
            b.load_state_dict(a.state_dict())
    cut.heads.load_state_dict(whole.heads.state_dict())
    for task in SCENES:
        for module in whole.attention[task.name][: 4 - attention]:
            module.register_forward_hook(lambda m, i, out: torch.ones_like(out))
    x = torch.randn(2, 3, 16, 16)
    for name, logits in cut(x).items():
        torch.testing.assert_close(logits, whole(x)[name])


def test_attention_switches_give_five_distinct_networks():
    """Blocks below a block whose mask is 1 do not affect the outputs, so that only the number of
    attended blocks from the last one on matters."""
    model = small().eval()
    off: set[int] = set()
    for modules in model.attention.values():
        for j, module in enumerate(modules):
            module.register_forward_hook(
                lambda m, i, out, j=j: torch.ones_like(out) if j in off else out
            )
    x, found = torch.randn(2, 3, 16, 16), {}
    for bits in itertools.product((False, True), repeat=4):
        off = {j for j, on in enumerate(bits) if not on}
        with torch.no_grad():
            found[bits] = model(x)["aid"]
    for bits, logits in found.items():
        counted = len(list(itertools.takewhile(bool, reversed(bits))))
        assert torch.equal(logits, found[(False,) * (4 - counted) + (True,) * counted])
    distinct = [found[(False,) * (4 - n) + (True,) * n] for n in range(5)]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(distinct, 2))


# ------------------------------------------------------------------ settings


VARIANTS = [
    schema.MTLNConfig(),
    schema.MTLNConfig(attention=0),
    schema.MTLNConfig(attention=2, ratio=0.25, form="residual"),
    schema.MTLNConfig(extractors="per_task", convs=3, width=0.5),
    schema.MTLNConfig(width=2, bias=True, head_hidden=7, dropout=0.5),
    schema.MTLNConfig(norm="task_statistics"),
    schema.MTLNConfig(norm="task_affine", attention=3),
    schema.MTLNConfig(norm="group", extractors="per_task"),
]


@pytest.mark.parametrize("settings", VARIANTS, ids=range(len(VARIANTS)))
def test_every_parameter_has_one_owner_and_is_used(settings):
    model = small(settings, PAIR)
    listed = [
        id(p)
        for part in (model.shared_parameters(), *(model.task_parameters(t.name) for t in PAIR))
        for p in part
    ]
    assert len(listed) == len(set(listed))
    assert set(listed) == {id(p) for p in model.parameters()}
    out = model(torch.randn(4, 3, 16, 16))
    assert {name: tuple(v.shape) for name, v in out.items()} == {
        "scene": (4, 5),
        "pixels": (4, 6, 16, 16),
    }
    sum(v.square().mean() for v in out.values()).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("settings", VARIANTS, ids=range(len(VARIANTS)))
def test_prunable_layers_exclude_stem_and_heads(settings):
    model = small(settings)
    layers = {n for n, m in model.named_modules() if type(m) in (nn.Conv2d, nn.Linear)}
    assert set(model.prunable) == {
        n for n in layers if not n.startswith("heads.") and n != "trunk.body.stem"
    }


def test_shared_head_needs_equal_class_names():
    cards = [TaskCard(name=n, outputs=3, classes=("forest", "lake", "port")) for n in ("a", "b")]
    model = small(schema.MTLNConfig(head_mode="shared"), cards)
    assert size(model.task_parameters("a")) == size(model.attention["a"])
    assert set(model(torch.zeros(2, 3, 16, 16))) == {"a", "b"}
    other = TaskCard(name="b", outputs=3, classes=("lake", "forest", "port"))
    for tasks in ([cards[0], other], SCENES, PAIR):
        with pytest.raises(BadInput, match="head_mode: shared"):
            small(schema.MTLNConfig(head_mode="shared"), tasks)


@pytest.mark.parametrize(
    ("settings", "backbone", "tasks", "part"),
    [
        (schema.MTLNConfig(), schema.BackboneCMConfig(), SCENES, "Use the backbone `wrn`"),
        (schema.MTLNConfig(attention=5), SMALL, SCENES, "4 for this backbone. Found 5"),
        (schema.MTLNConfig(dropout=0.1), SMALL, PAIR[1:], r"head_hidden` and `\.dropout"),
    ],
)
def test_what_would_do_nothing_is_refused(settings, backbone, tasks, part):
    with pytest.raises(BadInput, match=part):
        build_model(settings, backbone, tasks, (3, 32, 32))


def test_settings_refuse_what_would_do_nothing():
    with pytest.raises(ValidationError, match="does not use `ratio`"):
        schema.MTLNConfig(attention=0, ratio=0.5)
    for depth in (4, 11, 27):
        with pytest.raises(ValidationError, match="10, 16, 22, 28"):
            schema.BackboneWRNConfig(depth=depth)


@pytest.mark.parametrize("side", [16, 24, 32, 40, 64, 72, 224])
def test_sides_that_are_multiples_of_8_work(side):
    assert small(side=side)(torch.zeros(2, 3, side, side), ["aid"])["aid"].shape == (2, 12)


@pytest.mark.parametrize("side", [30, 36, 50, 70, 225])
def test_other_sides_are_refused(side):
    with pytest.raises(BadInput, match=f"multiples of 8 pixels. Found {side} x {side}"):
        small(side=side)


@pytest.mark.parametrize("norm", ["task_statistics", "task_affine"])
def test_task_statistics_apply_to_the_extractors(norm):
    model = small(schema.MTLNConfig(norm=norm))
    before = {name: value.clone() for name, value in model.named_buffers() if "running" in name}
    model(3 * torch.randn(8, 3, 16, 16) + 5, ["aid"])
    after = dict(model.named_buffers())
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved == {name for name in before if ".aid." in name}
    assert any(name.startswith("extractors.") for name in moved)
    assert size(model.shared_parameters()) + sum(
        size(model.task_parameters(t.name)) for t in SCENES
    ) == size(model)


# ------------------------------------------------------------------ steps


def step(model, optimizer, task, seed=0):
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    F.cross_entropy(model(images, [task])[task], torch.arange(8)).backward()


def test_single_task_step_updates_shared_and_own_parameters():
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for task in SCENES:  # every task has momentum that could move it
        step(model, optimizer, task.name)
        optimizer.step()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    step(model, optimizer, "aid", seed=1)
    own = {id(p) for p in (*model.shared_parameters(), *model.task_parameters("aid"))}
    assert all((p.grad is not None) == (id(p) in own) for p in model.parameters())
    assert all(p.grad.any() for p in model.heads["aid"].parameters())
    state = optimizer.state_dict()
    optimizer.step()
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {n for n, p in model.named_parameters() if id(p) in own}

    # the same step with zero gradients in place of None
    model.load_state_dict({**model.state_dict(), **before})
    optimizer.load_state_dict(state)
    step(model, optimizer, "aid", seed=1)
    for p in model.parameters():
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
    optimizer.step()
    assert any(
        not torch.equal(p, before[f"heads.nwpu.{n}"])
        for n, p in model.heads["nwpu"].named_parameters()
    )


def test_every_head_learns_and_label_sets_may_differ():
    tasks = [TaskCard(name=f"set{c}", outputs=c) for c in (21, 30, 45)]
    model = small(tasks=tasks)
    for task in tasks:
        labels = torch.arange(task.outputs - 4, task.outputs)
        F.cross_entropy(model(torch.randn(4, 3, 16, 16), [task.name])[task.name], labels).backward()
        assert all(p.grad.any() for p in model.task_parameters(task.name))


def test_summed_loss_equals_mean_loss_at_scaled_rate():
    """Exact for a batch of a power of two: the published 0.001 and 5e-5 on sums over 128 are 0.128
    and 3.90625e-7 on means."""
    batch, runs = 8, []
    for reduction, lr, decay in (("sum", 0.001, 5e-5), ("mean", 0.001 * batch, 5e-5 / batch)):
        model = small()
        optimizer = torch.optim.SGD(
            model.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=decay
        )
        for i in range(4):
            images = torch.randn(batch, 3, 16, 16, generator=torch.Generator().manual_seed(i))
            optimizer.zero_grad()
            F.cross_entropy(
                model(images, ["aid"])["aid"], torch.arange(batch), reduction=reduction
            ).backward()
            optimizer.step()
        runs.append(model.state_dict())
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert (0.001 * 128, 5e-5 / 128) == (0.128, 3.90625e-7)
