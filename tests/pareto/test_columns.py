"""The order of columns in tables."""

import pytest

from mtsearch.pareto.columns import column_order, label, metric_info


def test_columns_stand_in_a_stable_order():
    row = {
        "command": "python -m mtsearch.train",
        "zeta": 1,
        "trial.seed": 0,
        "model/params": 3,
        "val/a/error": 1.0,
        "cost/steps": 5,
        "trial": "0000",
        "test/a/error": 2.0,
    }
    assert column_order([row], ["val/a/error"]) == [
        "trial",
        "val/a/error",
        "test/a/error",
        "model/params",
        "cost/steps",
        "trial.seed",
        "zeta",
        "command",
    ]
    assert column_order([{"zeta": 1}]) == ["zeta"]


@pytest.mark.parametrize(
    ("kinds", "unit", "words"),
    [
        ({"a": "classification", "b": "segmentation"}, "%", "mean error (%)"),
        ({"a": "classification", "b": "regression"}, "", "mean relative error"),
        (None, "%", "mean error (%)"),
    ],
)
def test_aggregates_are_percentages_if_all_errors_are(kinds, unit, words):
    assert metric_info("val/mean/error", kinds).unit == unit
    assert label("val/mean/error", kinds) == words
