"""Values of the commands of rows, as `key=value` on the command line."""

import numpy as np
import pytest

from mtsearch.config.overrides import parse_override
from mtsearch.runs.commands import text

VALUES = [
    (None, "null"),
    (True, "true"),
    (False, "false"),
    (3, "3"),
    (1e-05, "1.0e-05"),
    (0.1, "0.1"),
    ("null", '"null"'),
    ("a.pt", "a.pt"),
    ([1, None, True, "no"], "[1, null, true, no]"),
    ({"name": "adam", "lr": 1e-05}, "{name: adam, lr: 1.0e-05}"),
]


@pytest.mark.parametrize("value,expected", VALUES)
def test_texts_of_values_are_read_as_the_values(value, expected):
    assert text(value) == expected
    assert parse_override(f"key={expected}") == {"key": value}


def test_numpy_scalars_are_numbers():
    assert text(np.float64(0.25)) == "0.25" and text(np.int64(3)) == "3"
