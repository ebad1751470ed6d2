"""Processes that are killed or stopped: trial actors and workers of groups."""

import os
import signal
import threading

import pytest

from mtsearch.runs.directory import RunDirectory
from tests.chaos.checks import check_run, event_counts
from tests.chaos.driver import TRIALS, space_of
from tests.helpers.fake import order, release, until, waits

pytestmark = pytest.mark.slow


def test_a_killed_actor_repeats_no_report(search, undisturbed):
    order("die", 2, 1)
    order("die", 3, 3)
    order("die", 1, 99)  # while it is tested
    code, run, _ = search(space_of("fake", str(search.root)))
    assert code == 0
    check_run(run, undisturbed)
    assert event_counts(run, "start") == {
        row["trial"]: 2 if row["trial"] in ("0001", "0002") else 1 for row in run.rows()
    }


def test_a_trial_fails_after_its_allowed_attempts(search, undisturbed):
    order("exit", 2, 1)
    code, run, _ = search(space_of("fake", str(search.root), max_failures=1))
    assert code == 0
    check_run(run, undisturbed, differ=["0001"])
    row = run.rows()[1]
    assert (
        row["attempts"] == 2
        and row["reason"]
        == "its process died 2 times: Worker exits unexpectedly. Worker exits with an exit code 3."
    )


def test_processes_lost_before_reporting_are_replaced(search, undisturbed):
    order("die", 2, 0)  # in a process that has trained before
    order("stop", 4, 0)
    code, run, text = search(
        space_of("fake", str(search.root), {"resources": {"cpu": 0.5, "report_timeout": 8}})
    )
    assert code == 0
    check_run(run, undisturbed)
    assert event_counts(run, "start") == {
        row["trial"]: 2 if row["trial"] in ("0001", "0003") else 1 for row in run.rows()
    }
    assert "0001: its process died; it continues from its start" in text


def test_a_test_moves_from_a_dead_idle_process(search, undisturbed):
    order("wait", 7, 3)  # while the other slot ends the last trial and has nothing to do

    def kill_the_idle():
        until(lambda: waits(7, 3) and search.shown.getvalue().count(" done ") == 8)
        (run,) = (search.root / "toy").iterdir()
        made = {
            report["process"] for report in RunDirectory(run).history() if report["trial"] != "0006"
        }
        for pid in made - {waits(7, 3)}:
            os.kill(pid, signal.SIGKILL)
        release(7, 3)

    thread = threading.Thread(target=kill_the_idle)
    thread.start()
    code, run, _ = search(space_of("fake", str(search.root)))
    thread.join()
    assert code == 0
    check_run(run, undisturbed)


def test_a_stopped_actor_is_replaced(search, undisturbed):
    order("stop", 3, 2)
    code, run, text = search(
        space_of("fake", str(search.root), {"resources": {"cpu": 0.5, "report_timeout": 8}})
    )
    assert code == 0
    check_run(run, undisturbed)
    assert event_counts(run, "start")["0002"] == 2
    assert "0002: no report within `resources.report_timeout` (8 s), its process is killed" in text


def test_trials_killed_in_training_end_bit_identically(search, undisturbed_real):
    order("die", 32, 2)
    order("die", 64, 3)
    code, run, _ = search(space_of("real", str(search.root)), trial_class=TRIALS["real"])
    assert code == 0
    check_run(run, undisturbed_real)
    assert event_counts(run, "start") == {"0000": 2, "0001": 2}


@pytest.mark.parametrize("act", ["die", "stop"])
def test_losing_a_group_worker_loses_no_results(search, undisturbed, act):
    order(act, 3, 2)
    more = {"workers": 2, "resources": {"cpu": 0.5, "collective_timeout": 20}}
    code, run, _ = search(space_of("fake", str(search.root), more, slots=1))
    assert code == 0
    check_run(run, undisturbed)
    assert event_counts(run, "start")["0002"] == 2
