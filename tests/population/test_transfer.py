"""The tensors that a visitor takes from a donor and from its own task. Invariants are numbered as
in the specification."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtsearch.config.schema import MTOConfig
from mtsearch.population.state import MemberState, average
from mtsearch.population.transfer import start, taken
from tests.population.tiny import equal, population

SUBSET = {"name": "class_subset", "classes": 2}


def settings(**changes):
    return MTOConfig.model_validate({"tasks": 3, "group_size": 2, **changes})


def state(seed, kind="sgd", moments=True):
    noise = torch.Generator().manual_seed(seed)
    model = {
        "trunk.conv.weight": torch.randn(4, 3, 3, 3, generator=noise),
        "trunk.conv.bias": torch.randn(4, generator=noise),
        "trunk.bn.running_mean": torch.randn(4, generator=noise),
        "trunk.bn.num_batches_tracked": torch.tensor(seed),
        "heads.scene.weight": torch.randn(3, 4, generator=noise),
    }
    kept = ("trunk.conv.weight", "trunk.conv.bias", "heads.scene.weight")
    held = (
        {
            name: {"momentum_buffer": torch.randn(model[name].shape, generator=noise)}
            for name in kept
        }
        if moments
        else {}
    )
    return MemberState(model, held, {"name": kind, "lr": float(seed)})


OWN, DONOR = state(1), state(2)


@pytest.mark.parametrize("merge", ["lerp", "conv_lerp"])
def test_both_ends_of_a_merge_are_exact(merge):
    """Invariant 6."""
    assert equal(start(settings(merge=merge, alpha=0.0), OWN, DONOR, True).tree(), OWN.tree())
    whole = start(settings(merge=merge, alpha=1.0), OWN, DONOR, True)
    if merge == "lerp":
        assert equal(whole.tree(), DONOR.tree())
    else:
        assert torch.equal(whole.model["trunk.conv.weight"], DONOR.model["trunk.conv.weight"])
        rest = [name for name in OWN.model if name != "trunk.conv.weight"]
        assert all(torch.equal(whole.model[name], OWN.model[name]) for name in rest)
        assert equal(whole.moments, OWN.moments) and whole.optimizer == OWN.optimizer


@given(st.floats(0, 1), st.sampled_from(["replace", "lerp", "conv_lerp"]))
def test_merge_of_equal_states_is_identity(alpha, merge):
    """Invariant 6; it does not hold for (1 - a) w + a w."""
    found = start(
        settings(merge=merge, **({} if merge == "replace" else {"alpha": alpha})), OWN, OWN, True
    )
    assert equal(found.tree(), OWN.tree())


def test_interpolated_merge_lies_between_states():
    found = start(settings(merge="lerp", alpha=0.25), OWN, DONOR, True)
    for name in ("trunk.conv.weight", "trunk.bn.running_mean"):
        assert torch.allclose(
            found.model[name], 0.75 * OWN.model[name] + 0.25 * DONOR.model[name], atol=1e-6
        )
    assert found.model["trunk.bn.num_batches_tracked"].item() == 2  # whole numbers are not blended
    moment = found.moments["trunk.conv.bias"]["momentum_buffer"]
    assert torch.allclose(
        moment,
        torch.lerp(
            OWN.moments["trunk.conv.bias"]["momentum_buffer"],
            DONOR.moments["trunk.conv.bias"]["momentum_buffer"],
            0.25,
        ),
    )


@pytest.mark.parametrize(
    ("changes", "agree", "heads", "trunks"),
    [
        ({}, True, True, True),
        ({}, False, False, True),
        ({"head_policy": "keep"}, True, False, True),
        ({"head_policy": "copy"}, True, True, True),
        ({"layers": "backbone"}, True, False, True),
        ({"layers": "head"}, True, True, False),
        ({"layers": r"^heads"}, True, True, False),
    ],
)
def test_transferred_layers_by_settings(changes, agree, heads, trunks):
    """Invariant 11: with other labels a visitor keeps its task's head and takes everything else;
    with equal labels it takes the head too."""
    names = taken(settings(**changes), list(OWN.model), agree)
    assert ("heads.scene.weight" in names) == heads and ("trunk.conv.weight" in names) == trunks
    found = start(settings(**changes), OWN, DONOR, agree)
    for name in OWN.model:
        assert torch.equal(found.model[name], (DONOR if name in names else OWN).model[name])
    for name in OWN.moments:
        assert equal(found.moments[name], (DONOR if name in names else OWN).moments[name])


def test_a_pattern_takes_the_layers_that_it_names():
    assert taken(settings(layers=r"\.bn\."), list(OWN.model), True) == {
        "trunk.bn.running_mean",
        "trunk.bn.num_batches_tracked",
    }


def test_optimiser_state_of_visitors():
    copied, momentum, reset = (
        start(settings(optimiser_state=how), OWN, DONOR, True)
        for how in ("copy", "momentum_only", "reset")
    )
    assert equal(copied.moments, DONOR.moments) and copied.optimizer == {"name": "sgd", "lr": 2.0}
    assert equal(momentum.moments, DONOR.moments) and momentum.optimizer == {
        "name": "sgd",
        "lr": 1.0,
    }
    assert reset.moments == {} and reset.optimizer == {"name": "sgd", "lr": 1.0}


def test_merge_with_a_state_without_moments():
    assert start(settings(), OWN, state(2, moments=False), True).moments == {}
    assert equal(start(settings(), state(1, moments=False), DONOR, True).moments, DONOR.moments)


def test_the_mean_of_networks():
    mean = average([OWN.model, DONOR.model])
    assert torch.allclose(
        mean["trunk.conv.weight"],
        (OWN.model["trunk.conv.weight"] + DONOR.model["trunk.conv.weight"]) / 2,
    )
    assert mean["trunk.bn.num_batches_tracked"].item() == 1
    assert equal(average([OWN.model]), OWN.model)


@pytest.mark.parametrize(
    "formulation",
    [SUBSET, {"name": "dataset", "datasets": ["other"]}],
    ids=["class-subset", "dataset"],
)
@pytest.mark.parametrize("freeze", [False, True], ids=["free", "frozen"])
def test_rounds_of_tasks_with_other_labels(formulation, freeze):
    """Invariant 11: a full round with acceptance raises no error, keeps the widths of the heads,
    and does not change frozen trunks."""
    trial = population(
        tasks=3,
        formulation=formulation,
        accept="always",
        freeze_on_foreign_head=freeze,
        budget=4 * 24,
    )
    next(trial)
    for _ in range(3):
        before = dict(trial._rounds.states)
        next(trial)
        for i, task in enumerate(trial._tasks):
            found = trial._rounds.states[i].model
            assert found["heads.scene.weight"].shape[0] == task.card.outputs
            donor = int(trial._rounds.facts[f"task{i}/donor1"])
            agree = task.card.classes == trial._tasks[donor].card.classes
            came = torch.equal(
                found["trunk.body.0.weight"], before[donor].model["trunk.body.0.weight"]
            )
            assert came == (freeze and not agree)
            assert not torch.equal(
                found["heads.scene.weight"], before[i].model["heads.scene.weight"]
            )
