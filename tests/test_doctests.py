"""The examples in docstrings give what they show."""

import doctest
import importlib
from pathlib import Path

import pytest

import mtsearch

ROOT = Path(mtsearch.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples_run(module):
    found = doctest.testmod(importlib.import_module(module), extraglobs={"mtsearch": mtsearch})
    assert not found.failed


def test_modules_with_examples_are_found():
    assert {"mtsearch.api", "mtsearch.pareto.volume", "mtsearch.balancing.simplex"} <= set(MODULES)
