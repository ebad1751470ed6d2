"""Jumps of the system clock change neither the budget nor the seconds of a run."""

from pathlib import Path

import pytest

from mtsearch.runs.state import RunState
from tests.chaos.checks import check_run
from tests.chaos.conftest import await_until, run_in
from tests.cluster.packages import provide
from tests.helpers.fake import order, release, waits


def test_run_seconds_do_not_follow_the_system_clock():
    notes = [
        ("run", 1000.0, 0.0),
        ("start", 1001.0, 1.0),
        ("report", 90000.0, 3.0),
        ("report", -5.0, 4.0),
        ("resume", 7.0, 0.5),
        ("report", 2.0, 2.5),
    ]
    known = {
        "space": "toy",
        "overrides": [],
        "changes": {},
        "trial": "0000",
        "config": {},
        "params": {},
        "attempt": 1,
        "report": 1,
        "metrics": {},
    }
    record = RunState.from_events(
        {**known, "kind": "search", "event": kind, "time": now, "clock": clock}
        for kind, now, clock in notes
    )
    assert record.seconds == pytest.approx(4.0 + 2.0)


@pytest.mark.cluster
def test_clock_jumps_do_not_change_a_search(search, undisturbed, drive, tmp_path):
    provide("libfaketime", "faketime")
    library = next(iter(Path("/usr").glob("lib*/**/faketime/libfaketime.so.1")))
    offset = tmp_path / "offset"
    offset.write_text("+0")
    fake = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    for batch_size in (3, 6):
        order("wait", batch_size, 2)
    root = tmp_path / "results"
    root.mkdir()
    driver = drive(run=str(root), search={"budget": 3600}, environment=fake)
    for batch_size, jump in ((3, "+30d"), (6, "-300d")):
        await_until(lambda size=batch_size: waits(size, 2), f"trial {batch_size}", driver)
        offset.write_text(jump)
        release(batch_size, 2)
    assert driver.wait(timeout=300) == 0, driver.communicate()
    run = run_in(root)
    times = [event["time"] for event in run.events()]
    assert max(times) - min(times) > 300 * 86400, "the clock has jumped"
    assert run.state().seconds < 600
    check_run(run, undisturbed)
