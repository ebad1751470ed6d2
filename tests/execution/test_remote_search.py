"""Searches whose run directory is at an S3 URL: the same rows as in a folder, also after
faults."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from rich.console import Console

from mtsearch.commands import export, report, train
from mtsearch.commands import run as run_command
from mtsearch.config.space import Space
from mtsearch.execution import engine
from mtsearch.jobs.job import Job
from mtsearch.runs import lease as leases
from mtsearch.runs import uploader as mirrors
from mtsearch.runs.lease import Lease
from mtsearch.runs.object_store import Store
from mtsearch.runs.opening import open_run
from mtsearch.runs.pending import cache_folder, folder_for, pending_folder
from mtsearch.runs.uploader import fence, read_segments
from tests.execution.test_search import comparable_rows, event_counts, history_of, undisturbed
from tests.helpers.fake import order, release, until, waits
from tests.helpers.fixtures import FAKE, ROOT
from tests.helpers.spaces import space

__all__ = ["undisturbed"]  # a fixture


def remote(url, every=0, **settings):
    made = space(url, **{"trials": 5, "slots": 2, **settings})
    return Space(made.raw | {"results": {"root": url, "upload_every": every}})


def objects(run, folder):
    return sorted({name.partition("/")[0] for name in Store(run.address).list(folder)})


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(leases, "HEARTBEAT", 0.5)
    monkeypatch.setattr(leases, "TERM", 3.0)


@pytest.mark.parametrize("every", [pytest.param(0, marks=pytest.mark.slow), 30])
def test_stores_and_folders_give_equal_rows(search, undisturbed, url, every):
    code, run, text = search(remote(url, every))
    assert code == 0, text
    assert (
        text.splitlines()[-1] == f"run: {run.address}"
        and f"run        {run.address} (working copy /" in text
    )
    assert comparable_rows(run) == comparable_rows(undisturbed[1]) and history_of(
        run
    ) == history_of(undisturbed[1])
    assert set(Store(run.address).list("")) >= {
        "trials.parquet",
        "history.parquet",
        "front.parquet",
        "front.csv",
        "front.md",
    }
    assert objects(run, "checkpoints") == sorted(
        p.name for p in (undisturbed[1].path / "checkpoints").iterdir()
    )
    assert len(Store(run.address).list("checkpoints")) == len(objects(run, "checkpoints")), (
        "one object a trial"
    )
    assert (
        not list(pending_folder(run.address).rglob("*"))
        and not (cache_folder() / "runs" / folder_for(run.address)).exists()
    )
    assert search.resume(run)[0] == 0
    assert comparable_rows(open_run(run.address)) == comparable_rows(undisturbed[1])


@pytest.mark.slow
def test_killed_actors_continue_from_the_store(search, undisturbed, url):
    order("die", 2, 2)
    order("die", 3, 3)
    code, run, _ = search(remote(url))
    assert code == 0
    assert comparable_rows(run) == comparable_rows(undisturbed[1]) and history_of(
        run
    ) == history_of(undisturbed[1])
    assert event_counts(run, "start")["0001"] == 2
    processes = {row["report"]: row["process"] for row in run.history() if row["trial"] == "0001"}
    assert processes[1] != processes[3], "the first report was kept, not made again"


DRIVER = """
import sys
sys.path.insert(0, {root!r})
import os
from mtsearch.runs import lease
lease.HEARTBEAT, lease.TERM = 0.5, 3.0
from tests.helpers.fake import order
order("kill", 3, 2, os.getpid())
from mtsearch.execution import engine
from tests.execution.test_remote_search import remote
sys.exit(engine.run(remote({url!r}), name="toy", trial_class={trial_class!r}))
"""


@pytest.mark.slow
def test_a_lost_machine_loses_no_finished_trial(
    search, undisturbed, address, url, quick, tmp_path, monkeypatch
):
    gone = tmp_path / "gone"
    environment = {
        **os.environ,
        "RAY_ADDRESS": address,
        "RAY_AUTH_MODE": "token",
        "MTSEARCH_SCRATCH": str(gone),
    }
    code = DRIVER.format(root=ROOT, url=url, trial_class=FAKE)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list(gone.rglob("events.jsonl"))
    monkeypatch.setenv("MTSEARCH_SCRATCH", str(tmp_path / "other"))
    (stamp,) = {name.partition("/")[0] for name in Store(f"{url}/toy").list("")}
    run = open_run(f"{url}/toy/{stamp}")
    finished = {row["trial"] for row in run.rows() if row["state"] == "done"}
    assert finished and any(row["state"] == "running" for row in run.rows())
    code, run, text = search.resume(run)
    assert code == 0, text
    assert comparable_rows(run) == comparable_rows(undisturbed[1]) and history_of(
        run
    ) == history_of(undisturbed[1])
    assert set(event_counts(run, "report").values()) == {3} and set(
        event_counts(run, "end").values()
    ) == {1}
    assert all(event_counts(run, "start")[trial] == 1 for trial in finished)
    assert objects(run, "checkpoints") == sorted(
        p.name for p in (undisturbed[1].path / "checkpoints").iterdir()
    )


@pytest.mark.slow
def test_a_search_continues_during_store_failures(search, undisturbed, url, server, monkeypatch):
    monkeypatch.setattr(leases, "HEARTBEAT", 0.5)
    order("wait", 3, 2)
    order("wait", 5, 1)

    def away():
        until(lambda: waits(3, 2))
        server.kill_gateway()
        release(3, 2)
        until(lambda: waits(5, 1) and "continues in" in search.shown.getvalue())
        server.start()
        server.wait()
        release(5, 1)

    thread = threading.Thread(target=away)
    thread.start()
    code, run, text = search(remote(url))
    thread.join()
    assert code == 0, text
    assert "The run continues in" in text and "works again" in text
    assert comparable_rows(run) == comparable_rows(undisturbed[1]) and history_of(
        run
    ) == history_of(undisturbed[1])


@pytest.mark.slow
def test_resume_uploads_after_a_lasting_store_failure(
    search, undisturbed, url, server, monkeypatch
):
    monkeypatch.setattr(mirrors, "LONGEST_WAIT", 1.0)
    monkeypatch.setattr(leases, "TERM", 3.0)
    order("wait", 5, 3)

    def away():
        until(lambda: waits(5, 3))
        server.kill_gateway()
        release(5, 3)

    thread = threading.Thread(target=away)
    thread.start()
    console = Console(file=search.shown, width=200)
    code = engine.run(remote(url), name="toy", trial_class=FAKE, console=console)
    thread.join()
    server.start()
    server.wait()
    text = search.shown.getvalue()
    assert code == 1
    assert (
        "not everything could be uploaded: " in text
        and "a resume from here continues with it" in text
    )
    run = open_run(text.splitlines()[-1].removeprefix("run: "))
    assert any(row["state"] == "running" for row in run.rows()), "the last end is only here"
    code, run, text = search.resume(run)
    assert code == 0, text
    assert comparable_rows(run) == comparable_rows(undisturbed[1]) and history_of(
        run
    ) == history_of(undisturbed[1])
    assert (
        not list(pending_folder(run.address).rglob("*.zip"))
        and not (cache_folder() / "runs" / folder_for(run.address)).exists()
    )


@pytest.mark.slow
def test_a_driver_without_lease_exits_with_one(search, url, monkeypatch):
    monkeypatch.setattr(leases, "HEARTBEAT", 0.5)
    order("wait", 3, 2)

    def take():
        until(lambda: waits(3, 2))
        (stamp,) = {name.partition("/")[0] for name in Store(f"{url}/toy").list("")}
        store = Store(f"{url}/toy/{stamp}")
        other = Lease(store, 2)
        assert other._create()
        fence(other)

    thread = threading.Thread(target=take)
    thread.start()
    console = Console(file=search.shown, width=200)
    code = engine.run(remote(url), name="toy", trial_class=FAKE, console=console)
    thread.join()
    text = search.shown.getvalue()
    assert (
        code == 1
        and "What this driver did since then is in /" in text
        and "Continue with" not in text
    )


@pytest.mark.slow
def test_worker_groups_keep_states_in_the_store(search, undisturbed, url):
    order("die", 2, 2)
    made = remote(url, slots=1, trials=2)
    code, run, text = search(Space(made.raw | {"workers": 2, "resources": {"cpu": 0.5}}))
    assert code == 0, text
    wanted = [row for row in history_of(undisturbed[1]) if row["trial"] in ("0000", "0001", "stl")]
    assert history_of(run) == wanted
    assert event_counts(run, "start")["0001"] == 2
    processes = {row["report"]: row["process"] for row in run.history() if row["trial"] == "0001"}
    assert processes[1] != processes[3]


def test_trainings_are_exported_from_a_store(
    url, store_ports, server, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = [
        "space=pareto_cm",
        f"results.root={url}",
        "trial.epochs={search: 1, retrain: 1}",
        "data.limit=200",
        "trial.sparsity=none",
    ]
    assert train.main(words) == 0
    place = capsys.readouterr().out.splitlines()[-1].removeprefix("run: ")
    assert place.startswith(f"{url}/pareto_cm/2")
    assert objects(open_run(place), "checkpoints") == ["0000"] and "report.html" in Store(
        place
    ).list("")
    Store(place).remove(["front.md", "report.html"])
    assert report.main([f"run={place}"]) == 0 and {"front.md", "report.html"} <= set(
        Store(place).list("")
    )
    assert capsys.readouterr().out.splitlines()[-1] == f"run: {place}"
    assert export.main([f"run={place}", "pick=trial:0000"]) == 0
    assert (tmp_path / "export" / "0000" / "model.safetensors").exists()
    before = read_segments(Store(place))
    assert run_command.main([f"resume={place}"]) == 0 and read_segments(Store(place)) == before


def test_interrupted_trainings_continue_from_a_store(
    url, store_ports, server, tmp_path, monkeypatch, capsys
):
    words = [
        "space=pareto_cm",
        f"results.root={url}",
        "trial.epochs={search: 1, retrain: 1}",
        "data.limit=200",
        "trial.sparsity=none",
        "test=true",
    ]
    steps, real = [], Job.step

    def interrupted(job):
        steps.append(job)
        if len(steps) == 2:
            raise KeyboardInterrupt
        return real(job)

    monkeypatch.setattr(Job, "step", interrupted)
    assert train.main(words) == 130
    out = capsys.readouterr().out.splitlines()
    place = out[-1].removeprefix("run: ")
    assert out[-2].endswith(
        f"Continue with: python -m mtsearch.train resume={place}"
    ) and "report.html" in Store(place).list("")
    assert train.main([f"resume={place}"]) == 0
    (row,) = open_run(place).rows()
    assert row["state"] == "done" and row["attempts"] == 2 and "test/image/error" in row
    assert [entry["report"] for entry in open_run(place).history()] == [1, 2]
