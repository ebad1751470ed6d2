"""Sparsification during the search phase."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nets import batch, small, study
from torch import nn
from torch.nn.functional import cosine_similarity

from mtsearch.config import schema
from mtsearch.config.errors import BadInput
from mtsearch.sparsity import Sparsifier, measures, row_matrix, row_norms, zero_rows
from mtsearch.sparsity.rules import build_rule, cubic_fraction, row_count

TARGETS = [
    schema.TargetSparsityConfig(target=0.5, method=m, pattern=p)
    for m, p in [("growl", "linear"), ("growl", "spike"), ("magnitude", "linear")]
]


def train(
    net,
    prunable,
    config,
    steps,
    steps_per_epoch,
    sparsifier=None,
    first=1,
    optimizer=None,
    watch=None,
):
    optimizer = optimizer or torch.optim.Adam(net.parameters(), lr=1e-2)
    sparsifier = sparsifier or Sparsifier(net, prunable, config, steps, steps_per_epoch)
    for step in range(first, steps + 1):
        images, labels = batch(step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
        sparsifier.after_step(step)
        if watch:
            watch(step)
    return sparsifier


def zeros(net, prunable):
    return {name: zero_rows(net.get_submodule(name).weight) for name in prunable}


def test_the_schedule_rises_cubically_to_its_target():
    assert [cubic_fraction(0.5, x) for x in (0.0, 0.5, 1.0)] == pytest.approx([0.0, 0.4375, 0.5])
    assert row_count(0.1, 7200) == 720


def test_applications_are_spread_over_each_epoch():
    net, prunable = small()
    sparsifier = Sparsifier(
        net,
        prunable,
        schema.TargetSparsityConfig(applications=4),
        total_steps=20,
        steps_per_epoch=10,
    )
    assert [step for step in range(1, 21) if sparsifier.due(step)] == [3, 5, 8, 10, 13, 15, 18, 20]
    often = Sparsifier(
        net,
        prunable,
        schema.TargetSparsityConfig(applications=99),
        total_steps=3,
        steps_per_epoch=2,
    )
    assert [step for step in range(1, 4) if often.due(step)] == [1, 2, 3]


@pytest.mark.parametrize("config", TARGETS, ids=lambda c: f"{c.method}-{c.pattern}")
def test_scheduled_rows_stay_zero_at_every_step(config):
    net, prunable = small()
    seen = {name: torch.zeros(n, dtype=torch.bool) for name, n in (("2", 12), ("5", 72))}

    def watch(step):
        for name, zero in zeros(net, prunable).items():
            assert (zero | ~seen[name]).all(), "a zero row came back"
            seen[name] = zero
            # applications at the even steps
            assert zero.sum() == math.floor(
                cubic_fraction(0.5, step // 2 * 2 / 20) * len(zero) + 1e-9
            )

    train(net, prunable, config.model_copy(update={"applications": 5}), 20, 10, watch=watch)
    assert seen["2"].sum() == 6 and seen["5"].sum() == 36


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("pattern", ["linear", "spike", "dejiao"])
def test_target_is_met_exactly_by_every_pattern(pattern, share):
    rule = build_rule(schema.TargetSparsityConfig(target=share, pattern=pattern))
    for norms in (
        torch.rand(50).double() + 0.1,
        torch.ones(50).double(),
        torch.randn(50).double().abs().clamp_min(0.4),
    ):
        after = rule(norms, 1.0)
        assert (after == 0).sum() == row_count(share, 50)
        assert (after <= norms + 1e-12).all()


def test_growl_shrinks_the_survivors_and_magnitude_leaves_them():
    for method, shrinks in (("growl", True), ("magnitude", False)):
        net, prunable = small()
        before = row_matrix(net[5].weight).clone()
        Sparsifier(
            net, prunable, schema.TargetSparsityConfig(target=0.5, method=method), 1, 1
        ).after_step(1)
        after = row_matrix(net[5].weight)
        alive = ~zero_rows(net[5].weight)
        assert cosine_similarity(before[alive], after[alive]).min() > 1 - 1e-5, "directions stay"
        assert bool((after[alive].norm(dim=1) < before[alive].norm(dim=1)).all()) is shrinks
        assert torch.equal(before[alive], after[alive]) is not shrinks
        assert before[~alive].norm(dim=1).max() <= before[alive].norm(dim=1).min()


@pytest.mark.parametrize(
    "optimizer",
    [torch.optim.Adam, torch.optim.AdamW, lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9)],
)
def test_momentum_never_moves_a_zero_row(optimizer):
    net, prunable = small()
    held = {}

    def watch(step):
        if step == 5:
            held.update(zeros(net, prunable))
        for name, rows in held.items():
            assert (row_matrix(net.get_submodule(name).weight)[rows] == 0).all()

    train(
        net,
        prunable,
        schema.TargetSparsityConfig(applications=2),
        20,
        10,
        optimizer=optimizer(net.parameters(), lr=0.05),
        watch=watch,
    )
    assert held["5"].any()


@pytest.mark.parametrize(
    "config", [*TARGETS, schema.CoefficientSparsityConfig(applications=2)], ids=str
)
def test_continuing_from_a_state_is_bit_identical(config):
    whole, prunable = small()
    train(whole, prunable, config, 12, 6)
    net, _ = small()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    state = {}

    def save(step):
        if step == 7:
            state.update(
                net=copy.deepcopy(net.state_dict()), optimizer=copy.deepcopy(optimizer.state_dict())
            )
            state["sparsifier"] = copy.deepcopy(sparsifier.state_dict())

    sparsifier = Sparsifier(net, prunable, config, 12, 6)
    train(net, prunable, config, 12, 6, sparsifier=sparsifier, optimizer=optimizer, watch=save)
    other, _ = small()
    other.load_state_dict(state["net"])
    second = torch.optim.Adam(other.parameters(), lr=1e-2)
    second.load_state_dict(state["optimizer"])
    continued = Sparsifier(other, prunable, config, 12, 6)
    continued.load_state_dict(state["sparsifier"])
    train(other, prunable, config, 12, 6, sparsifier=continued, first=8, optimizer=second)
    for a, b in zip(whole.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="0"):
        continued.load_state_dict({"0": torch.tensor([1])})


def test_averaged_weights_keep_zero_rows():
    net, prunable = small()
    average = copy.deepcopy(net)
    sparsifier = Sparsifier(net, prunable, schema.TargetSparsityConfig(), 1, 1)
    sparsifier.after_step(1)
    sparsifier.hold(average)
    for name in prunable:
        assert torch.equal(
            zero_rows(average.get_submodule(name).weight), zero_rows(net.get_submodule(name).weight)
        )


def test_penalty_is_growl_value_of_prunable_layers():
    net, prunable = small()
    config = schema.CoefficientSparsityConfig(beta1=0.8, beta2=0.2, pattern="spike")
    wanted = 0.0
    for name in prunable:
        norms = row_norms(net.get_submodule(name).weight)
        wanted += (0.2 * norms.sum() + 0.8 * norms.max()).item()
    assert Sparsifier(net, prunable, config, 1, 1).penalty() == pytest.approx(wanted, rel=1e-6)


# ---------------------------------------------------------------- the papers' form


def uncapped(**settings):
    """The rule's settings without a cap, which users cannot have: a layer needs a row."""
    return schema.CoefficientSparsityConfig(cap_stages=1, **settings).model_copy(
        update={"layer_cap": 1.0}
    )


@given(
    st.integers(1, 80),
    st.floats(0, 0.99),
    st.integers(1, 4),
    st.floats(0.01, 1),
    st.integers(0, 9999),
)
def test_cap_restores_largest_rows_unshrunk(n, cap, stages, progress, seed):
    norms = 0.3 * torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rule = build_rule(schema.CoefficientSparsityConfig(layer_cap=cap, cap_stages=stages))
    after = rule(norms, progress)
    stage = min(max(math.ceil(progress * stages - 1e-9), 1), stages)
    assert (after == 0).sum() <= math.floor(cap * stage / stages * n + 1e-9)
    free = build_rule(uncapped())(norms, 1.0)
    restored = (after != 0) & (free == 0)
    assert torch.equal(after[restored], norms[restored])
    if restored.any() and (after == 0).any():
        assert norms[restored].min() >= norms[after == 0].max()
    untouched = ~restored
    assert torch.equal(after[untouched], free[untouched])


def test_zero_rows_grow_with_the_coefficient():
    norms = torch.rand(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    counts = []
    for coefficient in (0.0, 0.001, 0.01, 0.02, 0.05, 0.2, 0.9):
        rule = build_rule(uncapped(coefficient=coefficient))
        counts.append(int((rule(norms, 1.0) == 0).sum()))
    assert counts[0] == 0 and counts == sorted(counts) and counts[-1] == 200


def test_cap_stages_follow_the_search_phase():
    norms = torch.full((7200,), 0.05, dtype=torch.float64)
    rule = build_rule(schema.CoefficientSparsityConfig(layer_cap=0.3, cap_stages=3))
    assert [(rule(norms, step / 9) == 0).sum().item() for step in range(1, 10)] == [720] * 3 + [
        1440
    ] * 3 + [2160] * 3


BOUNDS = {  # percent, rounded up, in the three stages of the cap
    "MM-HPS": (0.8, (20.19, 40.61, 61.26)),
    "MM-MDMTN": (0.8, (26.21, 52.44, 78.67)),
    "CM-HPS": (0.15, (4.62, 9.40, 14.09)),
    "CM-MDMTN": (0.3, (9.95, 19.91, 29.86)),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_cap_bounds_sparsity_rate_as_in_paper(name):
    cap, bounds = BOUNDS[name]
    net = study(name)
    config = schema.CoefficientSparsityConfig(coefficient=0.5, layer_cap=cap, cap_stages=3)
    sparsifier = Sparsifier(net, net.prunable, config, 9, 3)
    for iteration, bound in enumerate(bounds, 1):
        sparsifier.apply(iteration / 3)
        assert math.ceil(100 * measures(net)["model/sparsity_rate"]) / 100 == bound


def test_empty_search_phase_and_unknown_rule_are_refused():
    net, prunable = small()
    with pytest.raises(BadInput, match=r"trial\.epochs\.search"):
        Sparsifier(net, prunable, schema.TargetSparsityConfig(), 0, 10)
    with pytest.raises(BadInput, match="NoSparsity"):
        Sparsifier(net, prunable, schema.NoSparsityConfig(), 1, 1)


def test_steps_count_from_one():
    sparsifier = Sparsifier(
        nn.Sequential(nn.Linear(4, 4)),
        ["0"],
        schema.TargetSparsityConfig(target=0.5),
        total_steps=3,
        steps_per_epoch=3,
    )
    with pytest.raises(ValueError, match=r"`step` should count from 1\. Found 0"):
        sparsifier.after_step(0)
