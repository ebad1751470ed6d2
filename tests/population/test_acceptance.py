"""How a task takes a visitor: whole, or part of the way from its state before the round."""

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
def test_a_visitor_is_taken_whole_unless_told_otherwise(found):
    assert accepted(found, OWN, DONOR) is DONOR


@pytest.mark.parametrize("merge", ["lerp", "conv_lerp"])
def test_visitors_start_from_the_whole_donor_when_the_merge_comes_later(merge):
    assert equal(start(at_acceptance(0.3, merge), OWN, DONOR, True).tree(), DONOR.tree())
    assert not needs_own_state(at_acceptance(0.3, merge)) and needs_own_state(
        settings(merge="lerp", alpha=0.3)
    )


def test_both_ends_are_exact():
    """Invariant 6."""
    assert equal(accepted(at_acceptance(0.0), OWN, DONOR).tree(), OWN.tree())
    assert equal(accepted(at_acceptance(1.0), OWN, DONOR).tree(), DONOR.tree())
    assert equal(accepted(at_acceptance(0.3), OWN, OWN).tree(), OWN.tree())


def test_a_merge_of_convolutions_leaves_biases_norms_and_the_optimiser_as_they_were():
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
def test_a_task_that_takes_a_visitor_goes_part_of_the_way_and_is_judged_there(merge):
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


def test_a_task_that_keeps_its_own_member_is_not_merged():
    """Invariant 3."""
    merged = population(accept="never", merge="lerp", merge_at="acceptance", alpha=0.3)
    plain = population(accept="never")
    list(merged), list(plain)
    assert all(
        equal(merged._rounds.states[i].tree(), plain._rounds.states[i].tree()) for i in range(2)
    )


def test_there_is_nothing_to_merge_when_states_are_replaced():
    with pytest.raises(
        ValueError, match="does not use `merge_at` without `merge = lerp or conv_lerp`"
    ):
        config(merge_at="acceptance")
