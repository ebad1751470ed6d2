"""Expressions over metrics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtsearch.config.errors import BadInput
from mtsearch.config.expressions import Undefined, parse_expression
from mtsearch.config.space import Space
from mtsearch.data.cards import load_card
from tests.helpers.spaces import space

VALUES = {"val/a/error": 10.0, "val/b/error": 4.0, "zero": 0.0}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.7*val/a/error + 0.3*val/b/error", 8.2),
        ("val/a/error/2", 5.0),
        ("val/a/error / val/b/error", 2.5),
        ("1 - 2 - 3", -4.0),
        ("8 / 4 / 2", 1.0),
        ("2 + 3 * 4", 14.0),
        ("-(2 + 3) * -.5e1", 25.0),
        ("max(val/a/error, 3, 2*val/b/error) - min(1, zero)", 10.0),
    ],
)
def test_values(text, value):
    assert parse_expression(text)(VALUES) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "1 +", "(1", "1)", "a b", "1 2", "min()", "max(1", "a ** 2", "a.b", "a; b"),
        *("(" * 60 + "1" + ")" * 60, "-" * 60 + "1", "1" * 3000, "sqrt(4)", "__import__('os')"),
    ],
)
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="Found"):
        parse_expression(text)


def test_division_by_zero_has_no_value():
    with pytest.raises(Undefined, match="`1 / zero` divides by zero"):
        parse_expression("1 / zero")(VALUES)
    with pytest.raises(Undefined, match="is inf"):
        parse_expression("1e308 * 1e308")({})


numbers = st.floats(0.01, 100).map(lambda value: f"{value:.6g}")
trees = st.recursive(
    numbers,
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(
        lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
    ),
    max_leaves=12,
)


@given(trees)
def test_values_equal_those_of_python(text):
    try:
        expected = eval(text)
    except ZeroDivisionError:
        with pytest.raises(Undefined):
            parse_expression(text)({})
        return
    assert parse_expression(text)({}) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def made(tmp_path, objectives, **changes):
    return Space({**space(tmp_path).raw, "objectives": objectives, **changes})


SCORE = {"name": "score", "expression": "val/image/error + val/digit/error"}


def test_objectives_and_constraints_by_expression(tmp_path):
    found = made(tmp_path, [SCORE, "val/delta_m"], constraints=[{"metric": "score", "max": 90}])
    found.check(load_card("cifar10_mnist"))
    score, gain = found.config.objectives
    assert (score.metric, score.goal, gain.goal) == ("score", "min", "max")
    assert found.config.metrics == {
        *("score", "val/delta_m", "val/image/error", "val/digit/error"),
    }
    assert Space.from_yaml(found.to_yaml()).config.objectives == found.config.objectives


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "s", "expression": "val/imag/error"}, "Did you mean `val/image/error`"),
        ({"name": "s", "expression": "val/image/error +"}, "Found the end"),
        ({"expression": "1"}, "should give its `expression` a `name`"),
        ({"name": "trial", "expression": "1"}, "column of every table"),
        ({"name": "seeds", "expression": "1"}, "column of every table"),
        ({"name": "a/b", "expression": "1"}, "letters, digits and `_`"),
        ({"name": "s", "expression": "1", "metric": "val/image/error"}, "Found both"),
        ({"name": "s", "metric": "val/image/error"}, "without an `expression`"),
        ({"goal": "min"}, "should have a `metric`"),
        ({"metric": "val/mean/eror"}, "Did you mean `val/mean/error`"),
    ],
)
def test_wrong_objectives_are_refused(tmp_path, entry, message):
    with pytest.raises(BadInput, match=message):
        made(tmp_path, [entry]).check(load_card("cifar10_mnist"))


def test_one_name_has_one_expression(tmp_path):
    bound = {"name": "score", "expression": "val/image/error", "max": 3}
    with pytest.raises(BadInput, match="names two expressions"):
        made(tmp_path, [SCORE], constraints=[bound]).check(load_card("cifar10_mnist"))


def test_delta_m_needs_its_control(tmp_path):
    with pytest.raises(BadInput, match="compares with the control `delta_m`, which is null"):
        made(tmp_path, ["val/delta_m"], delta_m=None).check(load_card("cifar10_mnist"))
