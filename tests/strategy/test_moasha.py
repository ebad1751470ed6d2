"""Multi-objective successive halving: the rungs, which trials continue, and the epochs saved on two
conflicting tasks."""

import heapq
import math

import numpy as np
import pytest

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto import Front
from mtsearch.strategy.moasha import MOASHA
from tests.helpers.spaces import space

TWO = (
    Objective(metric="val/image/error", goal="min"),
    Objective(metric="val/digit/error", goal="min"),
)


def report(number, image, digit, **more):
    return {"report": number, "val/image/error": image, "val/digit/error": digit, **more}


@pytest.mark.parametrize(
    ("grace", "reduction", "rungs"), [(1, 3, [1, 3, 9, 27]), (2, 2, [2, 4, 8, 16]), (5, 3, [5, 15])]
)
def test_rungs_are_grace_times_powers_of_reduction(grace, reduction, rungs):
    halving = MOASHA(grace, reduction, TWO)
    assert [n for n in range(1, rungs[-1] + 1) if halving.is_rung(n)] == rungs


def test_first_trials_continue_then_one_in_three():
    halving = MOASHA(1, 3, TWO)
    assert halving.judge("0", [report(1, 50, 50)]) is None
    assert halving.judge("1", [report(1, 60, 60)]) is None
    assert (
        halving.judge("2", [report(1, 70, 70)])
        == "number 3 of 3 trials at report 1; the first 1 continue"
    )
    assert halving.judge("3", [report(1, 40, 40)]) is None
    assert (
        halving.judge("4", [report(1, 45, 45)])
        == "number 2 of 5 trials at report 1; the first 1 continue"
    )


def test_both_ends_of_the_front_continue():
    halving = MOASHA(1, 2, TWO)
    for name, (image, digit) in enumerate([(10, 90), (90, 10), (80, 80), (85, 85)]):
        decision = halving.judge(str(name), [report(1, image, digit)])
    assert decision is not None
    assert (
        halving.judge("end", [report(1, 5, 95)]) is None
        and halving.judge("other", [report(1, 95, 5)]) is None
    )


def test_trials_are_not_compared_between_rungs():
    halving = MOASHA(1, 3, TWO)
    for name in "abcdef":
        assert halving.judge(name, [report(2, 90, 90)]) is None


def test_repeated_report_is_recorded_once():
    halving = MOASHA(1, 2, TWO)
    assert halving.judge("first", [report(1, 50, 50)]) is None
    for name, value in (("a", 40), ("b", 30), ("c", 20)):
        halving.judge(name, [report(1, value, value)])
    assert halving.judge("first", [report(1, 50, 50)]) is None and len(halving.rungs[1]) == 4


def test_infeasible_trials_rank_after_feasible_ones():
    halving = MOASHA(1, 2, TWO, (Constraint(metric="model/params", max=100),))
    assert halving.judge("good", [report(1, 90, 90, **{"model/params": 50})]) is None
    assert halving.judge("big", [report(1, 1, 1, **{"model/params": 500})]) is not None


def test_nan_stops_and_missing_objective_is_ignored():
    halving = MOASHA(1, 2, TWO)
    assert halving.judge("a", [report(1, 50, 50)]) is None
    assert halving.judge("b", [report(1, math.nan, 50)]) is not None
    assert (
        halving.judge("c", [{"report": 1, "val/image/error": 99.0}]) is None
        and "c" not in halving.rungs[1]
    )


def curves(count, generator):
    """Learning curves of two conflicting tasks: `share` sets the position on the trade-off,
    `quality` the distance from it, `rate` the speed."""
    share, quality, rate = (
        generator.uniform(0, 1, count),
        generator.exponential(12, count),
        generator.uniform(0.5, 2.0, count),
    )

    def at(i, epoch):
        slow = 40 * math.exp(-rate[i] * epoch / 4)
        return (
            70 - 50 * share[i] ** 0.5 + quality[i] + slow,
            5 + 45 * share[i] ** 2 + quality[i] + slow,
        )

    return at


@pytest.mark.parametrize("seed", range(12))
def test_most_hypervolume_for_fewer_epochs(seed):
    count, epochs, workers = 120, 27, 8
    at = curves(count, np.random.default_rng(seed))
    full = Front(TWO)
    for i in range(count):
        full.add(str(i), report(epochs, *at(i, epochs)))
    halving, found, spent, waiting = MOASHA(3, 2, TWO), Front(TWO), 0, list(range(count))
    queue = [(1.0 + w / 100, waiting.pop(0), 1) for w in range(workers)]
    while queue:
        now, i, epoch = heapq.heappop(queue)
        spent += 1
        done = epoch == epochs
        if done:
            found.add(str(i), report(epoch, *at(i, epoch)))
        if done or halving.judge(str(i), [report(epoch, *at(i, epoch))]):
            if waiting:
                heapq.heappush(queue, (now + 1, waiting.pop(0), 1))
        else:
            heapq.heappush(queue, (now + 1, i, epoch + 1))
    assert found.hypervolume >= 0.95 * full.hypervolume
    assert spent <= 0.4 * count * epochs


def test_settings_without_a_use_are_refused(tmp_path):
    with pytest.raises(
        BadInput, match=r"`search.scheduler` with `name = none` does not use `grace`"
    ):
        space(tmp_path, scheduler={"name": "none", "grace": 2})
    with pytest.raises(BadInput, match="reduction"):
        space(tmp_path, scheduler={"name": "moasha", "reduction": 1})
    assert space(tmp_path, scheduler="moasha").config.search.scheduler.grace == 3
