"""Searches whose run directory is at an S3 URL: the same rows as in a folder, whatever dies in between."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from mtsearch.config.space import Space
from mtsearch.tuning import lease as leases
from mtsearch.tuning import states as kept
from mtsearch.tuning.remote import open_run
from mtsearch.tuning.storage import Store
from tests.tuning.conftest import FAKE, ROOT
from tests.tuning.fake import order, release, waits
from tests.tuning.spaces import space
from tests.tuning.test_search import address, calm, counted, shown, told

__all__ = ["address", "calm"]  # fixtures


def remote(url, every=0, **settings):
    made = space(url, **{"trials": 5, "slots": 2, **settings})
    return Space(made.raw | {"results": {"root": url, "upload_every": every}})


def objects(run, folder):
    return sorted({name.partition("/")[0] for name in Store(run.address).list(folder)})


def until(happened, seconds=180):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(leases, "BEAT", 0.5)
    monkeypatch.setattr(leases, "TERM", 3.0)


@pytest.mark.parametrize("every", [pytest.param(0, marks=pytest.mark.slow), 30])
def test_a_search_in_a_store_gives_the_rows_of_one_in_a_folder(search, calm, url, every):
    code, run, text = search(remote(url, every))
    assert code == 0, text
    assert text.splitlines()[-1] == f"run: {run.address}" and f"run        {run.address} (working copy /" in text
    assert shown(run) == shown(calm[1]) and told(run) == told(calm[1])
    assert set(Store(run.address).list("")) >= {"trials.parquet", "history.parquet", "front.parquet", "front.csv", "front.md"}
    assert objects(run, "checkpoints") == sorted(p.name for p in (calm[1].path / "checkpoints").iterdir())
    assert len(Store(run.address).list("checkpoints")) == len(objects(run, "checkpoints")), "one object a trial"
    assert not list(kept.outbox(run.address).rglob("*")) and not (kept.cache() / "runs" / kept.slug(run.address)).exists()
    assert search.resume(run)[0] == 0
    assert shown(open_run(run.address)) == shown(calm[1])


@pytest.mark.slow
def test_an_actor_that_is_killed_goes_on_with_the_state_in_the_store(search, calm, url):
    order("die", 2, 2)
    order("die", 3, 3)
    code, run, _ = search(remote(url))
    assert code == 0
    assert shown(run) == shown(calm[1]) and told(run) == told(calm[1])
    assert counted(run, "start")["0001"] == 2
    processes = {row["report"]: row["process"] for row in run.history() if row["trial"] == "0001"}
    assert processes[1] != processes[3], "the first report was kept, not made again"


DRIVER = """
import sys
sys.path.insert(0, {root!r})
import os
from mtsearch.tuning import lease
lease.BEAT, lease.TERM = 0.5, 3.0
from tests.tuning.fake import order
order("kill", 3, 2, os.getpid())
from mtsearch.tuning import engine
from tests.tuning.test_remote_search import remote
sys.exit(engine.run(remote({url!r}), name="toy", trial_class={trial_class!r}))
"""


@pytest.mark.slow
def test_a_killed_driver_on_a_machine_that_is_gone_loses_nothing_finished(search, calm, address, url, quick, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    environment = {**os.environ, "RAY_ADDRESS": address, "RAY_AUTH_MODE": "token", "MTSEARCH_SCRATCH": str(gone)}
    code = DRIVER.format(root=ROOT, url=url, trial_class=FAKE)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list(gone.rglob("events.jsonl"))
    monkeypatch.setenv("MTSEARCH_SCRATCH", str(tmp_path / "other"))
    (stamp,) = {name.partition("/")[0] for name in Store(f"{url}/toy").list("")}
    run = open_run(f"{url}/toy/{stamp}")
    finished = {row["trial"] for row in run.rows() if row["state"] == "done"}
    assert finished and any(row["state"] == "running" for row in run.rows())
    code, run, text = search.resume(run)
    assert code == 0, text
    assert shown(run) == shown(calm[1]) and told(run) == told(calm[1])
    assert set(counted(run, "report").values()) == {3} and set(counted(run, "end").values()) == {1}
    assert all(counted(run, "start")[trial] == 1 for trial in finished)
    assert objects(run, "checkpoints") == sorted(p.name for p in (calm[1].path / "checkpoints").iterdir())


@pytest.mark.slow
def test_a_search_goes_on_while_the_store_is_away(search, calm, url, server, monkeypatch):
    monkeypatch.setattr(leases, "BEAT", 0.5)
    order("wait", 3, 2)
    order("wait", 5, 1)

    def away():
        until(lambda: waits(3, 2))
        server.kill_gateway()
        release(3, 2)
        until(lambda: waits(5, 1) and "goes on in" in search.shown.getvalue())
        server.start()
        server.wait()
        release(5, 1)

    thread = threading.Thread(target=away)
    thread.start()
    code, run, text = search(remote(url))
    thread.join()
    assert code == 0, text
    assert "The run goes on in" in text and "answers again" in text
    assert shown(run) == shown(calm[1]) and told(run) == told(calm[1])
