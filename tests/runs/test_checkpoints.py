"""Checkpoints of trials in a store, written by jobs in this process."""

import json
from contextlib import suppress
from dataclasses import replace

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.jobs.job import Job
from mtsearch.runs import checkpoints
from mtsearch.runs.archives import pack, unpack
from mtsearch.runs.checkpoints import CheckpointLocation, config_key
from mtsearch.runs.object_store import Store
from mtsearch.runs.pending import pending_folder, upload_pending
from tests.helpers.fixtures import FAKE, PLAN
from tests.helpers.spaces import space


@pytest.fixture
def job(url, tmp_path, monkeypatch):
    """`job(...)` is a job of trial 0000 whose state is in a store."""
    monkeypatch.setenv(PLAN, str(tmp_path))
    monkeypatch.setattr(checkpoints, "FIND_TIMEOUT", 1.0)
    monkeypatch.setattr(checkpoints, "LAST_TIMEOUT", 1.0)
    config = space(url).defaults

    def make(purpose="train", every=0, **changed):
        tree = config | changed
        location = CheckpointLocation(url=url, trial="0000", key=config_key(tree), every=every)
        made = {
            "purpose": purpose,
            "checkpoint": location.to_dict(),
            "config": tree,
            "data": {"dataset": "none"},
            "gpu": 0,
            "plugins": [],
        }
        return Job(json.dumps({**made, "trial_class": FAKE}))

    make.store = Store(url)
    make.key = config_key(config)
    return make


def reports_of(job, steps):
    """The results of this number of steps."""
    return [job.step() for _ in range(steps)]


def test_jobs_continue_from_the_newest_state(job):
    whole = reports_of(job(), 3)
    assert [result.done for result in whole] == [False, False, True] and whole[
        2
    ].store_error is None
    assert list(job.store.list("checkpoints")) == [f"0000/{job.key}-00000003.zip"]
    again = job().step()
    assert again.done and [report["report"] for report in again.reports] == [1, 2, 3]
    assert job("test").step().test["test/image/error"] == whole[2].reports[0]["val/image/error"] + 1


def test_states_are_uploaded_at_the_set_interval(job):
    one = job(every=3600)
    reports_of(one, 2)
    assert job.store.list("checkpoints") == {}
    one.step()
    assert list(job.store.list("checkpoints")) == [f"0000/{job.key}-00000003.zip"]


def test_a_state_goes_with_no_other_configuration(job):
    reports_of(job(), 2)
    assert [report["report"] for report in job(batch_size=7).step().reports] == [1]


def test_damaged_states_are_trained_again_not_tested(job):
    whole = reports_of(job(), 3)
    key = f"checkpoints/0000/{job.key}-00000003.zip"
    job.store.write(key, job.store.read(key)[:-30])
    again = reports_of(job(), 3)
    assert again[0].note.startswith("trained again from its start") and whole[0].note is None
    assert [replace(again[0], note=None), *again[1:]] == whole
    job.store.write(key, b"PK")
    assert "is damaged" in job("test").step().failed


def test_states_are_kept_locally_during_store_failures(job, server):
    one = job()
    one.step()
    server.kill_gateway()
    try:
        away = reports_of(one, 2)
        assert away[-1].done and "cannot be written" in away[-1].store_error
        assert [path.name for path in pending_folder(job.store.url).glob("0000/*.zip")] == [
            f"{job.key}-00000003.zip"
        ]
        assert job("test").step().failed is None, "this machine has it"
    finally:
        server.start()
        server.wait()
    upload_pending(job.store, {"0000": job.key})
    assert f"0000/{job.key}-00000003.zip" in job.store.list("checkpoints")
    assert not list(pending_folder(job.store.url).rglob("*.zip"))


def test_pending_states_of_ended_trials_are_dropped(job, server):
    folder = pending_folder(job.store.url) / "0009"
    folder.mkdir(parents=True)
    (folder / f"{job.key}-00000001.zip").write_bytes(b"")
    upload_pending(job.store, {"0000": job.key})
    assert not folder.exists() and job.store.list("checkpoints") == {}


def test_damaged_archives_are_named_and_leave_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "state.json").write_text("{}" * 50)
    pack(tmp_path / "in", tmp_path / "whole.zip")
    whole = (tmp_path / "whole.zip").read_bytes()
    for place in range(len(whole)):
        for value in (0, 255, whole[place] ^ 1):
            (tmp_path / "damaged.zip").write_bytes(
                whole[:place] + bytes([value]) + whole[place + 1 :]
            )
            with suppress(BadInput):
                unpack(tmp_path / "damaged.zip", tmp_path / "out", "0000")
    assert {path.name for path in tmp_path.iterdir()} <= {"in", "out", "whole.zip", "damaged.zip"}
