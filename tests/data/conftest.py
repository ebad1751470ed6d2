"""A separate cache folder for each test, and no data root unless the test sets one."""

import pytest

from mtsearch.data import opening


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.delenv("MTSEARCH_DATA", raising=False)
    monkeypatch.setattr(opening, "_opened", {})
    return folder
