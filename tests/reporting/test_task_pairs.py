"""Gain and harm per pair of tasks."""

import math

import pyarrow.parquet as pq
import pytest

from mtsearch.config.schema import Objective
from mtsearch.pareto.result import search_result
from mtsearch.reporting.task_pairs import task_pairs, write_task_pairs

OBJECTIVES = [Objective(metric="val/mean/error", goal="min")]


def made(trials):
    """Trials as (groups, learning rate, error of a, error of b)."""
    rows = [
        {
            "trial": f"{i:04d}",
            "kind": "search",
            "state": "done",
            "trial.groups": groups,
            "trial.optimizer.lr": lr,
            "val/a/error": a,
            "val/b/error": b,
            "val/mean/error": (a + b) / 2,
        }
        for i, (groups, lr, a, b) in enumerate(trials)
    ]
    return search_result(rows, [], OBJECTIVES)


TOGETHER, APART = "[['a', 'b']]", "[['a'], ['b']]"
PAIRED = [
    *((TOGETHER, 1, 20.0, 30.0), (APART, 1, 24.0, 29.0)),
    *((TOGETHER, 2, 40.0, 50.0), (APART, 2, 46.0, 49.0)),
]


def test_settings_trained_in_both_ways_are_paired():
    one, two = task_pairs(made(PAIRED))
    assert (one["task"], one["other"], one["method"], one["pairs"]) == ("a", "b", "paired", 2)
    assert one["gain"] == pytest.approx(5.0)  # a gains from b
    half = 12.706 * math.sqrt(2) / math.sqrt(2)  # Student's t with one degree of freedom
    assert one["high"] - one["gain"] == pytest.approx(half, rel=1e-3)
    assert (two["task"], two["gain"]) == ("b", pytest.approx(-1.0))  # and harms it


def test_other_settings_are_compared_without_pairs():
    trials = [(groups, i, a, b) for i, (groups, _, a, b) in enumerate(PAIRED)]
    one, _ = task_pairs(made(trials))
    assert (one["method"], one["pairs"], one["gain"]) == ("unpaired", 0, pytest.approx(5.0))
    assert one["low"] < 5 < one["high"]


def test_one_trial_of_a_kind_has_no_interval():
    one, _ = task_pairs(made([(TOGETHER, 1, 20.0, 30.0), (APART, 2, 24.0, 29.0)]))
    assert math.isnan(one["low"]) and one["gain"] == pytest.approx(4.0)


def test_tables_are_written_where_groups_are_searched(tmp_path):
    write_task_pairs(tmp_path / "none.parquet", made(PAIRED[:1]))
    assert not (tmp_path / "none.parquet").exists()
    write_task_pairs(tmp_path / "tasks.parquet", made(PAIRED))
    assert pq.read_table(tmp_path / "tasks.parquet").num_rows == 2
