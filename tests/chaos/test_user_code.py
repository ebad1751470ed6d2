"""Trials whose code fails: each ends as failed with its reason, and the search continues."""

import json
import os
from pathlib import Path

import pytest

from mtsearch.config.errors import reason_of
from mtsearch.jobs.job import Job
from tests.chaos.checks import check_run
from tests.chaos.driver import space_of
from tests.helpers.fake import order

DATA = {"dataset": "patches10_digits", "limit": 75}
CGROUP = Path("/sys/fs/cgroup/memory")


@pytest.mark.slow
def test_what_fails_fails_alone(search, undisturbed):
    order("raise", 1, 2)
    order("nan", 2, 3)
    order("nan", 3, 2)  # not the selected report
    order("memory", 4, 2)
    order("object", 5, 2)
    order("close", 6, 0)
    code, run, text = search(space_of("fake", str(search.root)))
    assert code == 0
    rows = {row["trial"]: row for row in run.rows()}
    failed = {
        "0000": "ValueError: the trial was ordered to raise",
        "0001": "`val/image/error` is nan in its selected report",
        "0003": "MemoryError",
        "0004": "TypeError: Object of type FakeTrial is not JSON serializable",
    }
    assert {name: row["reason"] for name, row in rows.items() if row["state"] == "failed"} == failed
    assert all(reason in text for reason in failed.values())
    assert rows["0002"]["state"] == "done"
    check_run(run, undisturbed, differ=[*failed, "0002"])


@pytest.fixture
def cgroup():
    """A memory cgroup of 128 MiB; what a process used before it entered does not count."""
    folder = CGROUP / f"mtsearch-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(128 * 2**20))
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made here ({error}); this needs root and cgroup v1")
    yield folder
    folder.rmdir()


@pytest.mark.cluster
def test_a_trial_killed_for_memory_is_continued(search, undisturbed, cgroup):
    order("oom", 2, 2, os.getpid())
    code, run, _ = search(space_of("fake", str(search.root)))
    assert "oom_kill 1" in (cgroup / "memory.oom_control").read_text()
    assert code == 0
    check_run(run, undisturbed)
    assert run.rows()[1]["attempts"] == 2


def test_undecodable_failure_reasons_can_be_written():
    assert reason_of(ValueError("no file \udcff")) == "ValueError: no file ?"


def test_a_diverging_trial_fails_with_advice(tmp_path):
    config = space_of("real", str(tmp_path)).defaults | {"optimizer": {"name": "sgd", "lr": 1e30}}
    job = {
        "purpose": "train",
        "checkpoint": {"folder": str(tmp_path / "0000")},
        "config": config,
        "data": DATA,
        "plugins": [],
        "trial_class": "mtsearch.training:Trial",
    }
    result = Job(json.dumps(job)).step()
    assert (
        result.done
        and "Lower `trial.optimizer.lr`" in result.failed
        and not (tmp_path / "0000").exists()
    )
