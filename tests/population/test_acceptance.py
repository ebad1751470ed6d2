"""Acceptance of a visitor's state: as a whole, or merged with the task's state before the round."""

import pytest
import torch

from mtsearch.population.transfer import accepted, needs_own_state, start
from tests.population.test_transfer import DONOR, OWN, settings
from tests.population.tiny import config, equal, population


def at_acceptance(alpha, merge="lerp", **changes):
    return settings(merge=merge, merge_at="acceptance", alpha=alpha, **changes)


@pytest.mark.parametrize(
    "found", [settings(), settings(merge="lerp", alpha=0.3)], ids=["replace", "merged at the start"]
)
def test_default_acceptance_replaces_the_state(found):
    assert accepted(found, OWN, DONOR) is DONOR


@pytest.mark.parametrize("merge", ["lerp", "conv_lerp"])
def test_visitors_start_from_donor_with_late_merge(merge):
    assert equal(start(at_acceptance(0.3, merge), OWN, DONOR, True).tree(), DONOR.tree())
    assert not needs_own_state(at_acceptance(0.3, merge)) and needs_own_state(
        settings(merge="lerp", alpha=0.3)
    )


def test_both_ends_are_exact():
    """Invariant 6."""
    assert equal(accepted(at_acceptance(0.0), OWN, DONOR).tree(), OWN.tree())
    assert equal(accepted(at_acceptance(1.0), OWN, DONOR).tree(), DONOR.tree())
    assert equal(accepted(at_acceptance(0.3), OWN, OWN).tree(), OWN.tree())


def test_conv_merge_keeps_biases_norms_and_optimiser():
    """Invariant 6."""
    found = accepted(at_acceptance(0.3, "conv_lerp"), OWN, DONOR)
    for name, value in found.model.items():
        wanted = (
            torch.lerp(OWN.model[name], DONOR.model[name], 0.3)
            if name == "trunk.conv.weight"
            else OWN.model[name]
        )
        assert torch.equal(value, wanted), name
    assert equal(found.moments, OWN.moments) and found.optimizer == OWN.optimizer


@pytest.mark.parametrize("merge", ["lerp", "conv_lerp"])
def test_late_merge_interpolates_and_evaluates_the_result(merge):
    trial = population(tasks=2, accept="always", merge=merge, merge_at="acceptance", alpha=0.3)
    next(trial)
    before = dict(trial._rounds.states)
    task = trial._tasks[0]
    visitor = trial._trainer.train(task, before[1], 4, 4).state
    report = next(trial)
    after = trial._rounds.states[0]
    assert equal(after.tree(), accepted(trial.config.population, before[0], visitor).tree())
    assert report["population/task0/loss"] == trial._trainer.loss(
        task, after.model, task.hold_out, 1
    )


def test_kept_own_member_is_not_merged():
    """Invariant 3."""
    merged = population(accept="never", merge="lerp", merge_at="acceptance", alpha=0.3)
    plain = population(accept="never")
    list(merged), list(plain)
    assert all(
        equal(merged._rounds.states[i].tree(), plain._rounds.states[i].tree()) for i in range(2)
    )


def test_late_merge_with_replace_is_refused():
    with pytest.raises(
        ValueError, match="does not use `merge_at` without `merge = lerp or conv_lerp`"
    ):
        config(merge_at="acceptance")
