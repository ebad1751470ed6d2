import functools
import io
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)  # so that workers and test modules alike find `tests.tuning.fake`
PLAN = "MTSEARCH_TEST_PLAN"
FAKE = "tests.tuning.fake:FakeTrial"


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory):
    """One Ray cluster for all tests of the search; its workers know where the orders are."""
    os.environ[PLAN] = str(tmp_path_factory.mktemp("plan"))
    os.environ.pop("MTSEARCH_DATA", None)
    os.environ["PYTHONPATH"] = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 (Ray spells it so; niced workers starve beside other tests)
    import ray

    from mtsearch.tuning.cluster import settle, start

    settle()
    start(dashboard=False)
    yield
    ray.shutdown()


@pytest.fixture
def search(ray_cluster, tmp_path, monkeypatch):
    """`search(space)` runs it with fake trials and returns (exit code, run, printed text); `search.resume(run, changes)` likewise."""
    for path in os.scandir(os.environ[PLAN]):
        os.unlink(path)
    from mtsearch.tuning import engine, finish

    monkeypatch.setattr(finish, "publish", functools.partial(finish.publish, formats=("parquet", "csv", "md")))

    def result(code, text):
        from mtsearch.tuning.rundir import RunDirectory

        assert text.splitlines()[-1].startswith("run: ")
        return code, RunDirectory(text.splitlines()[-1].removeprefix("run: ")), text

    def run(space, trial_class=FAKE, name="toy"):
        console = Console(file=io.StringIO(), width=200)
        return result(engine.run(space, name=name, trial_class=trial_class, console=console), console.file.getvalue())

    def resume(run, changes=None, trial_class=FAKE):
        console = Console(file=io.StringIO(), width=200)
        return result(engine.resume(run.path, changes or {}, trial_class=trial_class, console=console), console.file.getvalue())

    run.resume = resume
    run.root = tmp_path
    return run
