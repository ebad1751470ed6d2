"""The sampler `curves`: its encoding, model, expected gain and proposals."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtsearch.config.dimensions import Dimension
from mtsearch.config.errors import BadInput
from mtsearch.config.schema import Constraint, Objective
from mtsearch.pareto import hypervolume
from mtsearch.pareto.curve_gp import CurveGP, Points
from mtsearch.pareto.scale import Scale
from mtsearch.strategy.curve_search import CurveSearch
from mtsearch.strategy.curves import Curves
from mtsearch.strategy.encoding import Encoder
from mtsearch.strategy.improvement import Improvement, free_boxes
from mtsearch.strategy.prior import Prior
from mtsearch.strategy.study import check_search
from tests.helpers.spaces import space

NESTED = {"name": "adam"}, {"name": "sgd"}
MIXED = (
    Dimension("a", "loguniform", [1e-3, 1.0], 0.1),
    Dimension("b", "uniform", [-1.0, 2.0], 0.0),
    Dimension("n", "int", [1, 4], 2),
    Dimension("c", "choice", list(NESTED), "adam"),
    Dimension("c@sgd.m", "uniform", [0.0, 1.0], 0.5, (("c", NESTED[1]),)),
    Dimension("w", "simplex", ["x", "y", "z"], {}),
)
TWO = (Objective(metric="e", goal="min"), Objective(metric="acc", goal="max"))


def searcher(dimensions=MIXED, objectives=2, startup=4, beliefs=(), preference=None):
    encoder = Encoder(dimensions)
    prior = Prior(encoder, {d.path: d for d in dimensions}, dict(beliefs))
    wish = None if preference is None else np.array(preference, dtype=float)
    return CurveSearch(encoder, objectives, startup, prior, wish)


def toy(params, report):
    """Two objectives that improve over 9 reports; the best are at a = 0.03 and b = 0 or 1."""
    far = (np.log10(params["a"]) + 1.5) ** 2
    return {
        "report": report,
        "e": 1 + far + params["b"] ** 2 + 3 / report,
        "acc": 50 - far - (params["b"] - 1) ** 2 - 3 / report,
    }


def played(search, trials, seed=0, constraints=(), reports=9):
    """Curves after so many trials, one of two stopped after 3 reports."""
    curves = Curves(TWO, constraints)
    for number in range(trials):
        params = search.propose(curves, np.random.default_rng([seed, number]))[0]
        curves.start(number, params)
        last = reports if number % 2 == 0 else 3
        for report in range(1, last + 1):
            curves.report(number, toy(params, report))
        state = "done" if last == reports else "stopped"
        curves.end(number, state, toy(params, last))
    return curves


@given(st.lists(st.floats(0, 1), min_size=7, max_size=7))
@settings(max_examples=50)
def test_decoded_points_encode_to_themselves(point):
    encoder = Encoder(MIXED)
    snapped = encoder.snap(np.array([point]))[0]
    params = encoder.decode(snapped)
    np.testing.assert_allclose(encoder.encode(params), snapped, atol=1e-9)
    assert ("c@sgd.m" in params) == (params["c"] == "sgd")


def test_perturbed_points_are_valid_and_differ():
    encoder, draw = Encoder(MIXED), np.random.default_rng(0)
    points = encoder.uniform(100, draw)
    moved = encoder.perturb(points, 0.05, draw)
    np.testing.assert_array_equal(moved, encoder.snap(moved))
    # a choice that is drawn again may stay
    assert (moved != points).any(axis=1).mean() > 0.9


@given(
    st.lists(st.tuples(*[st.floats(0, 1.2)] * 3), max_size=7),
    st.lists(st.tuples(*[st.floats(0, 1.2)] * 3), min_size=1, max_size=4),
)
@settings(max_examples=50)
def test_gain_of_certain_points_is_hypervolume(front, points):
    reference, goals = np.ones(3), ["min"] * 3
    front = np.array(front).reshape(-1, 3)
    gains = Improvement(front, reference)(np.array(points).T[:, :, None], np.ones(1))
    before = hypervolume(front, goals, reference)
    for point, gain in zip(points, gains, strict=True):
        after = hypervolume(np.vstack([front, point]), goals, reference)
        assert gain == pytest.approx(after - before, abs=1e-9)


@pytest.mark.parametrize("objectives", [1, 2, 4])
def test_free_boxes_are_disjoint_and_dominated_nowhere(objectives):
    draw = np.random.default_rng(objectives)
    front, samples = draw.random((6, objectives)), draw.random((500, objectives))
    lower, upper = free_boxes(front, np.ones(objectives))
    inside = ((samples[:, None] >= lower) & (samples[:, None] < upper)).all(axis=2).sum(axis=1)
    dominated = (front[None] <= samples[:, None]).all(axis=2).any(axis=1)
    np.testing.assert_array_equal(inside, (~dominated).astype(int))


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
@settings(max_examples=50)
def test_scale_is_monotone_and_inverts(values):
    values = np.sort(np.array(values))
    scale = Scale(values)
    scaled = scale.forward(values)
    assert np.isfinite(scaled).all() and (np.diff(scaled) >= 0).all()
    span = max(np.ptp(values), 1e-6 * abs(values).max(), 1e-9)
    np.testing.assert_allclose(scale.backward(scaled), values, atol=1e-6 * span, rtol=1e-6)


def test_model_predicts_results_of_short_curves():
    draw = np.random.default_rng(1)
    units = draw.random((40, 2))
    level = np.sin(3 * units[:, 0]) + units[:, 1]
    # the training's end is at left = 0; only five trials reach it
    rows = [(i, r) for i in range(40) for r in (1.0, 0.6, 0.0) if r > 0 or i < 5]
    trials, left = np.array([i for i, _ in rows]), np.array([r for _, r in rows])
    values = level[trials] + left * (1 + 0.3 * units[trials, 0])
    model = CurveGP(Points(units[trials], left, trials), values, np.zeros(2, dtype=bool))
    mean, spread = model.predict(units[5:])
    assert np.abs(mean - level[5:]).max() < 0.15
    assert (np.abs(mean - level[5:]) < 4 * spread + 0.02).all()


def test_believed_results_reduce_the_spread():
    draw = np.random.default_rng(0)
    units = draw.random((8, 1))
    model = CurveGP(Points(units, np.zeros(8), np.arange(8)), units[:, 0], np.zeros(1, dtype=bool))
    new = np.array([[2.0]])
    mean, spread = model.predict(new)
    model.believe(new)
    again, less = model.predict(new)
    assert again == pytest.approx(mean, abs=0.05) and less < 0.5 * spread


def test_proposals_depend_on_curves_and_seed_alone():
    one, two = played(searcher(), 10), played(searcher(), 10)
    assert [c.params for c in one.trials.values()] == [c.params for c in two.trials.values()]
    other = played(searcher(), 10, seed=1)
    assert one.trials[9].params != other.trials[9].params


def test_proposals_approach_both_ends_of_the_front():
    curves = played(searcher(startup=6), 24)
    late = [curves.trials[n].params for n in range(12, 24)]
    assert np.median([abs(np.log10(p["a"]) + 1.5) for p in late]) < 0.5
    assert np.mean([-0.5 < p["b"] < 1.5 for p in late]) > 0.7


def test_constraints_are_kept():
    bound = Constraint(metric="b", max=0.2)
    search = searcher(MIXED[:2], startup=6)
    curves = Curves(TWO, (bound,))
    for number in range(20):
        params = search.propose(curves, np.random.default_rng([3, number]))[0]
        curves.start(number, params)
        curves.report(number, {**toy(params, 9), "b": params["b"]})
        curves.end(number, "done", {**toy(params, 9), "b": params["b"]})
    late = [curves.trials[n].params["b"] for n in range(10, 20)]
    assert np.mean([b <= 0.25 for b in late]) >= 0.8


def test_running_trials_are_not_proposed_again():
    search = searcher(MIXED[:2], startup=4)
    curves = played(search, 8)
    found = []
    for number in range(8, 12):
        found.append(search.propose(curves, np.random.default_rng([0, 8]))[0])
        curves.start(number, found[-1])
    encoder = Encoder(MIXED[:2])
    units = [encoder.encode(p) for p in found]
    assert min(np.abs(a - b).max() for a, b in itertools.combinations(units, 2)) > 1e-3


def test_failed_trials_count_as_the_worst():
    curves = Curves(TWO)
    curves.start(0, {"a": 0.1})
    curves.report(0, {"report": 1, "e": 2.0, "acc": 5.0})
    curves.end(0, "done", {"report": 1, "e": 2.0, "acc": 5.0})
    curves.start(1, {"a": 0.2})
    curves.end(1, "failed", {})
    seen = curves.observations(10)
    assert seen.numbers.tolist() == [0, 1] and seen.values[seen.last].tolist() == [[2, -5]] * 2


def test_first_trials_follow_the_prior():
    search = searcher(beliefs={"a": (0.03, 1.5), "c": ({"name": "sgd"}, None)})
    found = [search.propose(Curves(TWO), np.random.default_rng(i))[0] for i in range(60)]
    assert np.mean([0.013 < p["a"] < 0.07 for p in found]) > 0.9
    assert np.mean([p["c"] == "sgd" for p in found]) > 0.6


def test_observations_keep_last_reports():
    curves = Curves(TWO)
    for number in range(30):
        curves.start(number, {"a": 0.1})
        for report in range(1, 10):
            curves.report(number, {"report": report, "e": 1.0, "acc": 1.0})
        curves.end(number, "stopped", {})
    seen = curves.observations(40)
    assert len(seen.trials) == 40 and len(seen.last) == 30
    assert (seen.left[seen.last] == 0).all()


@pytest.mark.parametrize("values", [lambda i: (1.0, 1.0), lambda i: (10.0 ** (40 * (i % 3)), i)])
def test_degenerate_objectives_give_proposals(values):
    search, curves = searcher(startup=3), Curves(TWO)
    for number in range(8):
        params = search.propose(curves, np.random.default_rng([0, number]))[0]
        curves.start(number, params)
        metrics = {"report": 1, **dict(zip(("e", "acc"), values(number), strict=True))}
        curves.report(number, metrics)
        curves.end(number, "done", metrics)
    assert set(params) >= {"a", "b", "n", "c"}


def test_observations_of_many_trials_are_bounded():
    curves = Curves(TWO)
    for number in range(200):
        curves.start(number, {"a": 0.1})
        curves.report(number, {"report": 1, "e": abs(number - 90.0), "acc": 1.0})
        curves.end(number, "done", {"report": 1, "e": abs(number - 90.0), "acc": 1.0})
    numbers = set(curves.observations(60).numbers.tolist())
    assert len(numbers) == 60
    assert {*range(20), *range(81, 99), *range(180, 200)} <= numbers


@pytest.mark.parametrize(("preference", "best"), [([9, 1], 0.0), ([1, 9], 1.0)])
def test_preference_moves_proposals_along_the_front(preference, best):
    """The front is b in [0, 1]: `e` is best at 0, `acc` at 1. Without a preference both count."""

    def b_of(**given):
        curves = played(searcher(**given), 16)
        return np.mean([abs(curves.trials[n].params["b"] - best) for n in range(6, 16)])

    assert b_of(preference=preference) < b_of() - 0.1


def test_equal_weights_are_units_of_the_preference():
    """Weights count relative to one another."""
    one, two = (played(searcher(preference=w), 8) for w in ([1, 1], [4, 4]))
    assert [c.params for c in one.trials.values()] == [c.params for c in two.trials.values()]


def test_preference_for_no_objective_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"`val/imag/error`\. Did you mean `val/image/error`"):
        check_search(space(tmp_path, sampler="curves", preference={"val/imag/error": 2}))
