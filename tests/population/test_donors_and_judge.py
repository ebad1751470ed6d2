"""Selection of donors, their scores, and selection of the surviving member. Invariants are numbered
as in the specification."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from mtsearch.config.schema import MTOConfig
from mtsearch.population.donors import Donors
from mtsearch.population.judge import survivor


def settings(**changes):
    return MTOConfig.model_validate({"tasks": 5, "group_size": 3, **changes})


@given(
    st.integers(2, 16),
    st.integers(0, 15),
    st.integers(0, 10**6),
    st.sampled_from(["uniform", "softmax_score", "round_robin"]),
    st.data(),
)
def test_donors_are_distinct_other_tasks(tasks, task, number, rule, data):
    """Invariant 9."""
    task, size = task % tasks, data.draw(st.integers(1, tasks))
    drawn = Donors(
        settings(tasks=tasks, group_size=size, donor_rule=rule), 3, list(range(tasks))
    ).draw(task, number)
    assert (
        len(drawn) == len(set(drawn)) == size - 1
        and task not in drawn
        and set(drawn) <= set(range(tasks))
    )


def test_all_means_every_other_task():
    assert Donors(settings(tasks=4, group_size=4, donor_rule="all"), 0, [0, 1, 2, 3]).draw(
        2, 7
    ) == [0, 1, 3]


def test_round_robin_visits_donors_equally_often():
    donors = Donors(settings(donor_rule="round_robin"), 0, list(range(5)))
    assert Counter(d for number in range(8) for d in donors.draw(1, number)) == {
        0: 4,
        2: 4,
        3: 4,
        4: 4,
    }
    assert donors.draw(1, 0) == [2, 3]


@pytest.mark.parametrize("rule", ["uniform", "softmax_score"])
def test_without_scores_every_donor_is_drawn_equally_often(rule):
    """Invariant 9: chi-squared on 10^4 draws."""
    donors = Donors(settings(donor_rule=rule), 1, list(range(5)))
    found = Counter(donors.draw(0, number)[0] for number in range(10_000))
    assert chisquare([found[j] for j in range(1, 5)]).pvalue > 0.001


def test_donors_are_sampled_by_softmax_of_scores():
    """Invariant 9: the first draw with scores (s, 0, ...)."""
    donors = Donors(settings(donor_rule="softmax_score", temperature=0.5), 1, list(range(5)))
    donors.scores[0][2] = 0.7
    drawn = [donors.draw(0, number) for number in range(10_000)]
    chance = math.exp(1.4) / (math.exp(1.4) + 3)
    found = Counter(first for first, _ in drawn)
    assert (
        chisquare(
            [found[2], found[1], found[3], found[4]],
            [10_000 * chance, *[10_000 * (1 - chance) / 3] * 3],
        ).pvalue
        > 0.001
    )
    donors.scores[0] = [score + 11 for score in donors.scores[0]]
    assert [donors.draw(0, number) for number in range(500)] == drawn[:500]


@given(st.floats(0, 50), st.lists(st.floats(0, 50), min_size=2, max_size=2), st.floats(0, 1))
def test_scores_grow_with_the_loss_reduction(own, visitors, decay):
    """Invariant 10."""
    donors = Donors(settings(donor_rule="softmax_score", score_decay=decay), 0, list(range(5)))
    donors.update_scores(2, [0, 3], own, visitors)
    for donor, loss in zip([0, 3], visitors, strict=True):
        assert (donors.scores[2][donor] > 0) == (loss < own) and (donors.scores[2][donor] < 0) == (
            own < loss
        )
    donors.scores = [[0.0] * 5 for _ in range(5)]
    donors.scores[1] = [0.3] * 5
    donors.update_scores(1, [0, 3], own, visitors)
    for donor, loss in zip([0, 3], visitors, strict=True):
        gain = donors.scores[1][donor] - decay * 0.3
        assert gain == pytest.approx(math.tanh(own - loss), abs=1e-12) and abs(gain) < 1 + 1e-12
    assert [donors.scores[1][j] for j in (1, 2, 4)] == [0.3] * 3 and donors.scores[0] == [0.0] * 5


def test_other_rules_keep_no_scores():
    """Invariant 10."""
    donors = Donors(settings(), 0, list(range(5)))
    donors.update_scores(1, [0, 3], 2.0, [1.0, 3.0])
    assert donors.scores == [[0.0] * 5] * 5


def test_nan_loss_ranks_last():
    donors = Donors(settings(donor_rule="softmax_score"), 0, list(range(5)))
    donors.update_scores(1, [0, 3], 2.0, [math.nan, math.inf])
    assert donors.scores[1][3] == -1
    assert survivor(settings(accept="always"), 0, 1.0, [math.nan, 5.0], [1, 2]) == 2
    assert survivor(settings(), 0, math.nan, [math.nan, 5.0], [1, 2]) == 2
    assert survivor(settings(), 0, math.nan, [math.nan, math.nan], [1, 2]) == 0


@pytest.mark.parametrize(
    ("changes", "own", "visitors", "kept"),
    [
        ({}, 1.0, [1.1, 0.9], 2),
        ({}, 1.0, [1.0, 1.0], 0),
        ({}, 1.0, [0.5, 0.5], 1),
        ({"accept": "margin", "margin": 0.2}, 1.0, [0.85, 0.9], 0),
        ({"accept": "margin", "margin": 0.2}, 1.0, [0.75, 0.9], 1),
        ({"accept": "always"}, 1.0, [3.0, 2.0], 2),
        ({"accept": "never"}, 1.0, [0.1, 0.2], 0),
        # visitors from tasks 1 and 4 to task 2: the lowest task wins ties
        ({"accept": "argmin"}, 1.0, [1.0, 1.0], 1),
        ({"accept": "argmin"}, 1.0, [1.1, 1.0], 0),
    ],
)
def test_survivor_by_acceptance_rule(changes, own, visitors, kept):
    assert survivor(settings(**changes), 2, own, visitors, [1, 4]) == kept


@given(st.floats(0, 10), st.lists(st.floats(0, 10), min_size=2, max_size=6, unique=True), st.data())
def test_survivor_is_independent_of_visitor_order(own, visitors, data):
    """Invariants 7 and 8."""
    losses = [own, *visitors]
    kept = survivor(settings(), 0, own, visitors, list(range(1, len(visitors) + 1)))
    assert losses[kept] == min(losses) and (kept == 0 or losses[kept] < own)
    mixed = data.draw(st.permutations(visitors))
    again = survivor(settings(), 0, own, mixed, list(range(1, len(mixed) + 1)))
    assert [own, *mixed][again] == losses[kept]
