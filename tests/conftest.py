"""All tests: one thread each, no deadline for property tests (they check results, not speed),
nothing of the user's own settings."""

import atexit
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: its OpenMP reads it once
if (
    data := os.environ.pop("MTSEARCH_DATA", None)
) is not None:  # no test may find data by chance; those on real data ask for them
    os.environ["MTSEARCH_TEST_DATA"] = data

import pytest
from hypothesis import settings

# the records of trusted plug-ins of this session, and not the user's own
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="pytest-mtsearch-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

settings.register_profile("mtsearch", deadline=None, max_examples=60, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("mtsearch")

if (root := str(Path(__file__).parents[1])) not in sys.path:
    sys.path.insert(0, root)  # so that workers and test modules alike find `tests.helpers.fake`
pytest_plugins = ["tests.helpers.fixtures"]


def pytest_addoption(parser):
    parser.addoption(
        "--seconds", type=float, default=None, help="start no test after so many seconds"
    )


def pytest_sessionstart(session):
    session.config.started = time.monotonic()


def pytest_runtest_setup(item):
    limit = item.config.getoption("--seconds")
    if limit is not None and time.monotonic() - item.config.started > limit:
        pytest.skip(f"left out: the {limit:g} s of this tier are over")


@pytest.fixture
def forget_plugins():
    """`forget_plugins()` lets go of the plug-ins' files and methods, as a new process would; so
    does the end of the test."""
    from mtsearch.config.metrics import TASK_METRICS
    from mtsearch.config.plugins import _loaded
    from mtsearch.config.registry import _IMPLEMENTATIONS, _METHODS
    from mtsearch.data.builders import DATASET_BUILDERS
    from mtsearch.models import heads
    from mtsearch.tasks import registry

    tables = [
        *_METHODS.values(),
        _IMPLEMENTATIONS,
        TASK_METRICS,
        DATASET_BUILDERS,
        heads._HEADS,
        registry._LOSSES,
        registry._METERS,
        _loaded,
    ]
    known = [set(table) for table in tables]

    def forget():
        for table, names in zip(tables, known, strict=True):
            for name in set(table) - names:
                del table[name]
        for name in [name for name in sys.modules if name.startswith("mtsearch_plugin_")]:
            del sys.modules[name]

    yield forget
    forget()
