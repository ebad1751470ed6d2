"""Means, Student intervals, pairing by seed, and the front of confirmed configurations."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto import choose, interval, merge_seeds, paired, search_result

TWO = (Objective(metric="val/a/error", goal="min"), Objective(metric="val/b/error", goal="min"))


def row(trial, seed, a, b, *, control=None, state="done", **more):
    kind = "control" if control else "search"
    found = {"trial": trial, "kind": kind, "control": control, "state": state, "seed": seed}
    return found | {"val/a/error": a, "val/b/error": b} | more


def seeded(name, values, **more):
    """Rows of one configuration with the seeds 0, 1, ..."""
    return [row(name + (f".s{i}" if i else ""), i, a, b, **more) for i, (a, b) in enumerate(values)]


def test_interval_of_two_values():
    # s = sqrt(2), t(0.975, 1) = tan(0.475 pi) = 12.706205, so t s / sqrt(2) = 12.706205
    assert interval([1.0, 3.0]) == pytest.approx((2.0, 12.706204736))


def test_interval_of_five_values():
    # mean 3, s = sqrt(10 / 4) = 1.5811388, t(0.975, 4) = 2.7764451, half = 2.7764451 * s / sqrt(5)
    assert interval([1, 2, 3, 4, 5]) == pytest.approx((3.0, 1.9632432))


def test_interval_needs_two_values():
    mean, half = interval([4.0])
    assert mean == 4.0
    assert math.isnan(half)
    assert all(map(math.isnan, interval([])))
    assert all(map(math.isnan, interval([1.0, math.inf])))


def test_differences_are_paired_by_seed():
    ours = [row("0000", 7, 10.0, 1), row("0000.s1", 8, 12.0, 1), row("0000.s2", 9, 99.0, 1)]
    theirs = [row("c.s1", 8, 11.0, 1), row("c", 7, 8.0, 1), row("c.s3", 5, 0.0, 1)]
    # seeds 7 and 8: 10 - 8 = 2, 12 - 11 = 1; s = 0.7071068, half = 12.706205 * s / sqrt(2)
    assert paired(ours, theirs, "val/a/error") == pytest.approx((1.5, 6.353102368, 2))


def test_expressions_have_means_and_intervals():
    objective = Objective(name="score", expression="val/a/error + val/b/error", goal="min")
    bound = Constraint(name="gap", expression="val/a/error - val/b/error", max=3)
    rows = seeded("0000", [(1, 0), (3, 0)])
    for entry in rows:
        entry |= {"score": entry["val/a/error"], "gap": 2 * entry["val/a/error"]}
    (merged,) = merge_seeds(rows, [objective], [bound])
    assert (merged["score"], merged["gap"]) == (2.0, 4.0)
    assert merged["ci95/score"] == pytest.approx(12.706204736)
    # the mean of `gap` is above its bound, although the first seed satisfies it
    assert not search_result(rows, [], [objective], [bound]).front.keys


def test_one_seed_leaves_rows_as_they_are():
    rows = [row("0000", 0, 1.0, 2.0), row("stl", 0, 3.0, 4.0, control="stl")]
    assert merge_seeds(rows, TWO) == rows


def test_rows_of_seeds_become_one():
    rows = [
        *seeded("0000", [(10, 5), (12, 5), (14, 5)]),
        *seeded("stl", [(20, 5), (22, 5), (24, 5)], control="stl"),
    ]
    first, stl = merge_seeds(rows, TWO)
    assert (first["trial"], first["seeds"], first["val/a/error"]) == ("0000", 3, 12.0)
    # s = 2, t(0.975, 2) = 4.3026527
    assert first["ci95/val/a/error"] == pytest.approx(4.3026527 * 2 / math.sqrt(3))
    assert first["diff/stl/val/a/error"] == -10.0
    assert first["ci95/diff/stl/val/a/error"] == 0.0
    assert first["not_better_than"] is None
    assert stl["val/a/error"] == 22.0
    assert "diff/stl/val/a/error" not in stl


def test_gain_within_noise_is_marked():
    rows = [
        *seeded("0000", [(10, 5), (12, 5), (14, 5)]),
        *seeded("stl", [(13, 5), (11, 5), (15, 5)], control="stl"),
    ]
    assert merge_seeds(rows, TWO)[0]["not_better_than"] == "stl"


def test_delta_m_uses_the_mean_control():
    rows = [
        *seeded("0000", [(10, 20), (20, 20)]),
        *seeded("stl", [(30, 40), (50, 60)], control="stl"),
    ]
    result = search_result(rows, [], TWO)
    # accuracies: mean control 60 and 50; seed 0: (90 - 60) / 60, (80 - 50) / 50, seed 1: 20 / 60
    gains = [100 * (30 / 60 + 30 / 50) / 2, 100 * (20 / 60 + 30 / 50) / 2]
    assert result.rows[0]["delta_m"] == pytest.approx(sum(gains) / 2)
    assert result.rows[0]["ci95/delta_m"] == pytest.approx(12.706204736 * (gains[0] - gains[1]) / 2)
    assert [r["delta_m"] for r in result.members["0000"]] == pytest.approx(gains)


def test_failed_repeat_does_not_count():
    rows = seeded("0000", [(10, 5), (12, 5), (14, 5)])
    rows[2]["state"] = "failed"
    (merged,) = merge_seeds(rows, TWO)
    assert (merged["seeds"], merged["val/a/error"]) == (2, 11.0)


def test_front_is_that_of_confirmed_means():
    """0002 has the best second objective by one seed, but 0001 a worse mean than its first seed."""
    rows = [
        *seeded("0000", [(10, 30), (10, 32)]),
        *seeded("0001", [(20, 10), (40, 50)]),
        row("0002", 0, 21, 11),
    ]
    result = search_result(rows, [], TWO)
    assert [r["confirmed"] for r in result.rows] == [True, True, False]
    assert [r["trial"] for r in result.front_rows] == ["0000", "0001"]
    assert len(result.hypervolumes) == 2


def test_front_is_that_of_all_until_all_are_confirmed():
    rows = [*seeded("0000", [(10, 30), (10, 32)]), row("0001", 0, 20, 10)]
    assert [r["trial"] for r in search_result(rows, [], TWO).front_rows] == ["0000", "0001"]


def test_choice_uses_means():
    rows = [*seeded("0000", [(10, 30), (30, 30)]), *seeded("0001", [(15, 35), (15, 35)])]
    assert choose(rows, TWO, "best:val/a/error")["trial"] == "0001"
    assert choose(rows, TWO, "trial:0000.s1")["val/a/error"] == 30
    with pytest.raises(BadInput, match=r"0000\.s9"):
        choose(rows, TWO, "trial:0000.s9")


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=2, max_size=6),
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=2, max_size=6),
    st.randoms(use_true_random=False),
)
def test_means_ignore_the_order_of_repeats(ours, theirs, random):
    def merged(ours, theirs):
        rows = []
        for name, values, control in (("0000", ours, None), ("stl", theirs, "stl")):
            first, *others = [
                row(name, seed, a, b, control=control) for seed, (a, b) in enumerate(values)
            ]
            order = [first, *others]
            random.shuffle(order)
            for i, entry in enumerate(order):
                entry["trial"] = name + (f".s{i}" if i else "")
            rows += order
        random.shuffle(rows)
        found = {r["trial"]: r for r in merge_seeds(rows, TWO)}
        return {
            (name, key): value
            for name, r in found.items()
            for key, value in r.items()
            if "/" in key
        }

    assert merged(ours, theirs) == merged(ours, theirs)
