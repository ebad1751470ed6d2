"""`ParetoASHA`: rungs from the length, noise, and the public suite for schedulers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import Objective
from mtsearch.strategy.pareto_asha import ParetoASHA
from mtsearch.strategy.scheduling import reports_of
from mtsearch.testing import SchedulerConformance
from tests.helpers.spaces import space

OBJECTIVES = (Objective(metric="a", goal="min"), Objective(metric="b", goal="max"))


class TestParetoASHA(SchedulerConformance):
    def make(self, objectives, constraints):
        return ParetoASHA(30, objectives, constraints)


def curve(a, b, length=52, noise=0.0, seed=0):
    draw = np.random.default_rng(seed)
    return [
        {
            "report": n,
            "a": float(a + 50 / n + noise * draw.normal()),
            "b": float(b - 50 / n + noise * draw.normal()),
        }
        for n in range(1, length + 1)
    ]


@pytest.mark.parametrize(
    ("length", "rungs"),
    [(1, []), (2, [1]), (6, [1, 2]), (52, [3, 6, 12, 24]), (100, [6, 12, 24, 48])],
)
def test_rungs_follow_from_the_length(length, rungs):
    scheduler = ParetoASHA(length, OBJECTIVES)
    assert [n for n in range(1, length + 1) if scheduler.is_rung(n)] == rungs


def test_noise_is_that_of_a_report():
    """Of a curve that is linear but for noise of 0.5 and 2."""
    scheduler, draw = ParetoASHA(5000, OBJECTIVES), np.random.default_rng(0)
    for n in range(1, 5001):
        values = {"a": 9 - n / 1000 + 0.5 * draw.normal(), "b": n / 1000 + 2 * draw.normal()}
        scheduler.add("0", {"report": n, **values})
    np.testing.assert_allclose(scheduler.noise, [0.5, 2.0], rtol=0.05)


def test_noise_of_too_short_curves_is_zero():
    scheduler = ParetoASHA(52, OBJECTIVES)
    for report in curve(1, 1)[:2]:
        scheduler.add("0", report)
    assert scheduler.noise.tolist() == [0.0, 0.0]


def test_repeated_and_missing_reports_give_no_noise():
    scheduler, reports = ParetoASHA(52, OBJECTIVES), curve(1, 1)
    for report in [*reports[:2], reports[0], reports[1], *reports[3:5]]:
        scheduler.add("0", report)
    assert scheduler.noise.tolist() == [0.0, 0.0]


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=30))
def test_difference_below_noise_stops_no_trial(offsets):
    """Trials that differ by less than the noise of a difference all continue."""
    scheduler = ParetoASHA(52, OBJECTIVES)
    for seed in range(3):
        for report in (
            curve(1, 1, noise=1.0, seed=seed)[:2] + curve(1, 1, noise=1.0, seed=seed)[:24]
        ):
            scheduler.add(f"first-{seed}", report)
    scheduler.rungs.clear()
    limit = np.sqrt(2) * scheduler.noise.min() / 2
    for i, (a, b) in enumerate(offsets):
        report = {"report": 3, "a": 10 + 0.99 * a * limit, "b": 10 + 0.99 * b * limit}
        assert scheduler.judge(str(i), [report]) is None


def test_worse_beyond_noise_is_stopped():
    scheduler = ParetoASHA(52, OBJECTIVES)
    for i in range(8):
        scheduler.judge(str(i), curve(i, -i, noise=0.1, seed=i)[:12])
    assert scheduler.judge("bad", curve(30, -30, noise=0.1, seed=9)[:12]) is not None


def test_trial_beyond_half_is_finished():
    scheduler = ParetoASHA(52, OBJECTIVES)
    for i in range(20):
        scheduler.judge(str(i), curve(0, 0))
    late = [{"report": n, "a": -1.0, "b": 1e6} for n in range(1, 25)]
    late += [{"report": n, "a": 1e6, "b": -1e6} for n in range(25, 53)]
    assert scheduler.judge("late", late) is None


def test_length_is_that_of_the_defaults(tmp_path):
    assert reports_of(space(tmp_path, epochs=7)) == 7


def test_grace_belongs_to_moasha(tmp_path):
    with pytest.raises(BadInput, match="does not use `grace`"):
        space(tmp_path, scheduler={"name": "pareto_asha", "grace": 4})
