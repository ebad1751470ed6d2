"""The order of columns in tables."""

from mtsearch.pareto.columns import column_order


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
