"""The importance of settings."""

import numpy as np
import pytest

from mtsearch.config.schema import Objective
from mtsearch.pareto import search_result
from mtsearch.reporting.importance import MAX_TRIALS, MIN_TRIALS, importance, importance_table
from tests.helpers.synthetic_search import OBJECTIVES, search

TWO = [Objective(metric="m0", goal="min"), Objective(metric="m1", goal="min")]


def rows_of(count, noise=0.01):
    draw = np.random.default_rng(3)
    rows = []
    for i in range(count):
        lr, kind = float(10 ** draw.uniform(-4, -1)), ["a", "b", "c"][int(draw.integers(3))]
        rows.append(
            {
                "trial": f"{i:04d}",
                "state": "done",
                "kind": "search",
                "trial.lr": lr,
                "trial.kind": kind,
                "trial.none": float(draw.uniform()) if i % 3 else None,
                "m0": np.log10(lr) ** 2 + noise * draw.normal(),
                "m1": float(draw.normal()),
            }
        )
    return rows


def test_the_setting_that_decides_is_first():
    found = importance(search_result(rows_of(80), [], TWO))
    assert found.settings[0] == "trial.lr" and found.shares[0][0] > 0.95
    assert found.explained[0] > 0.9 and sum(found.shares[0]) == pytest.approx(1)


def test_noise_has_no_importance():
    found = importance(search_result(rows_of(80), [], TWO))
    assert found.explained[1] < 0.2 and (found.shares[1] is None or found.explained[1] > 0)
    table = importance_table(found, ["a", "b"])
    assert table["heads"] == ["setting", "a", "b"] and len(table["rows"]) == 4


def test_few_trials_have_no_importance():
    assert importance(search_result(rows_of(MIN_TRIALS - 1), [], TWO)) is None
    assert importance(search_result(*search(), OBJECTIVES)) is not None


def test_the_result_is_reproducible_for_many_trials():
    result = search_result(rows_of(MAX_TRIALS + 40), [], TWO)
    assert importance(result) == importance(result)


def test_partial_dependence_follows_the_setting():
    found = importance(search_result(rows_of(80), [], TWO))
    one = next(d for d in found.dependence if (d.setting, d.objective) == ("trial.lr", 0))
    assert one.values == sorted(one.values) and len(one.values) == 9
    for value, prediction in zip(one.values, one.predictions, strict=True):
        assert prediction == pytest.approx(np.log10(value) ** 2, abs=1.5)
    assert one.predictions == sorted(one.predictions, reverse=True)
    kinds = next(d for d in found.dependence if (d.setting, d.objective) == ("trial.kind", 0))
    assert kinds.values == ["a", "b", "c"] and np.ptp(kinds.predictions) < 1
