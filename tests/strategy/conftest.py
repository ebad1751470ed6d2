"""Fixtures of the tests of strategies."""

import pytest


@pytest.fixture
def make(request, tmp_path):
    """``make(**settings)`` begins a search with the class `Search` of the test's module; its log is
    closed after the test."""
    made = []

    def begin(**settings):
        made.append(request.module.Search(tmp_path / str(len(made)), **settings))
        return made[-1]

    yield begin
    for search in made:
        search.run.log.close()
