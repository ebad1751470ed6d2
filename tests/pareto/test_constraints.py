"""The excess over constraints: its sign, its shape and what missing values mean."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto import constraint_excess, feasible, search_result, total_excess

MISSING = [None, math.nan, math.inf, -math.inf, "wrong", True]
cells = st.one_of(st.floats(-1e6, 1e6), st.sampled_from(MISSING))
bounds = st.builds(
    lambda metric, bound, least: Constraint(metric=metric, **{"min" if least else "max": bound}),
    st.sampled_from("abc"),
    st.floats(-1e3, 1e3),
    st.booleans(),
)


def plain_excess(row, constraint):
    value = row.get(constraint.metric)
    if isinstance(value, bool) or not isinstance(value, float) or not math.isfinite(value):
        return math.inf
    return value - constraint.max if constraint.min is None else constraint.min - value


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), cells), max_size=6),
    st.lists(bounds, max_size=4),
)
def test_excess_equals_the_plain_computation(rows, constraints):
    found = constraint_excess(rows, constraints)
    assert found.shape == (len(rows), len(constraints))
    plain = [[plain_excess(row, c) for c in constraints] for row in rows]
    assert found.tolist() == plain
    assert total_excess(found).shape == (len(rows),)
    assert feasible(rows, constraints).tolist() == [all(x <= 0 for x in line) for line in plain]
    assert (total_excess(found) > 0).tolist() == (~feasible(rows, constraints)).tolist()


def test_excess_is_signed_and_in_the_metrics_unit():
    both = [Constraint(metric="a", max=1.0), Constraint(metric="a", min=1.0)]
    assert constraint_excess([{"a": 3.0}, {"a": 1.0}], both).tolist() == [[2.0, -2.0], [0.0, 0.0]]
    assert total_excess(constraint_excess([{"a": 3.0}, {"a": 0.5}], both)).tolist() == [2.0, 0.5]


def test_missing_or_infinite_metric_breaks_any_bound():
    for bound in ({"max": 1.0}, {"min": 1.0}):
        excess = constraint_excess(
            [{"a": value} for value in MISSING] + [{}], [Constraint(metric="a", **bound)]
        )
        assert np.isposinf(excess).all() and np.isposinf(total_excess(excess)).all()


def test_no_rows_and_no_constraints_keep_their_shape():
    assert constraint_excess([], [Constraint(metric="a", max=1)]).shape == (0, 1)
    assert constraint_excess([{}, {}], []).shape == (2, 0)
    assert feasible([{}, {}], []).all() and total_excess(np.empty((2, 0))).tolist() == [0, 0]


def test_infeasible_trials_are_done_and_break_a_bound():
    rows = [
        {"trial": f"{number:04d}", "kind": "search", "state": state, "val/a/error": error}
        for number, (state, error) in enumerate(
            [("done", 1.0), ("done", 3.0), ("failed", 3.0), ("stopped", 3.0)]
        )
    ]
    result = search_result(
        rows,
        [],
        [Objective(metric="val/a/error", goal="min")],
        [Constraint(metric="val/a/error", max=2.0)],
    )
    assert [row["trial"] for row in result.infeasible] == ["0001"]
    assert [row["trial"] for row in result.eligible] == ["0000"]
