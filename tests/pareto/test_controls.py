"""The best configuration of a searched control."""

import math

from mtsearch.pareto.controls import best_candidate, mark_candidates, mean_error
from tests.pareto.test_seeds import row


def kinds(rows):
    mark_candidates(rows)
    return {entry["trial"]: entry["kind"] for entry in rows}


def test_mean_error_is_that_of_the_report():
    assert mean_error({"val/a/error": 1.0, "val/b/error": 3.0}) == 2.0
    assert mean_error({"val/a/error": 1.0, "val/mean/error": 0.4}) == 0.4
    assert mean_error({"test/a/error": 1.0}) == math.inf


def test_first_of_equal_candidates_is_best():
    same = [{"val/a/error": 1.0}]
    assert best_candidate({"stl": same, "stl.t01": same}) == "stl"
    assert best_candidate({}) is None


def test_best_configuration_stays_the_control():
    costs = {"cost/epochs": 4}
    rows = [
        row("stl", 0, 5, 5, control="stl", **costs),
        row("stl.t01", 0, 4, 4, control="stl", **costs),
        row("stl.t02", 0, 1, 1, control="stl", state="failed", **costs),
    ]
    assert kinds(rows) == {"stl": "candidate", "stl.t01": "control", "stl.t02": "candidate"}
    assert rows[1]["cost/search_epochs"] == 12


def test_choice_ignores_seeds_that_others_lack():
    """The confirmed configuration has a bad second seed, which the other one was not tried with."""
    rows = [
        row("stl", 0, 5, 5, control="stl"),
        row("stl.t01", 0, 4, 4, control="stl"),
        row("stl.t01.s1", 1, 50, 50, control="stl"),
    ]
    assert kinds(rows)["stl.t01.s1"] == "control"


def test_points_of_a_control_are_no_candidates():
    rows = [row("stl@00", 0, 5, 5, control="stl"), row("stl@01", 0, 4, 4, control="stl")]
    assert set(kinds(rows).values()) == {"control"}
