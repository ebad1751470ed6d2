"""The order of columns in tables and the format of their values."""

import pytest

from mtsearch.pareto.columns import column_order, format_value, label, metric_info


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


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (0.12345, "model/density", "0.123"),
        (0.12345, "val/a/loss", "0.1235"),
        (3.14159, "model/compression_rate", "3.14"),
        (1.23456, "model/parameter_sharing", "1.235"),
        (61.06, "cost/seconds", "61.1"),
        (12.345678, "val/a/error", "12.35"),
        (1.5, "delta_m", "+1.50"),
        (-0.004, "delta_m", "+0.00"),
        (-0.001, "val/a/error", "0.00"),
        (1234567, "model/params", "1,234,567"),
        (999_999_999_999_999.0, "x", "999999999999999"),
        (1e15, "x", "1e+15"),
        (1.5e15, "x", "1.5e+15"),
        (0.000123456, "x", "0.0001235"),
        (float("nan"), "x", "–"),
        (float("-inf"), "x", "-∞"),
    ],
)
def test_values_are_formatted_by_their_metric(value, metric, text):
    assert format_value(value, metric) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("[['a', 'b'], ['c']]", "a + b | c"),
        ("[['one task']]", "one task"),
        (None, "–"),
        ("[[", "[["),
        ("together", "together"),
    ],
)
def test_groups_are_printed_for_people(value, text):
    assert format_value(value, "trial.groups") == text
