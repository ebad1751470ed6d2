"""A cache folder of the test's own, and no data root unless the test gives one."""

import pytest
from hypothesis import settings

from mtsearch.data import opening

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.delenv("MTSEARCH_DATA", raising=False)
    monkeypatch.setattr(opening, "_opened", {})
    return folder
