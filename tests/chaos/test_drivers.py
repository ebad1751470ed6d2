"""Drivers that are killed, interrupted or killed repeatedly, two drivers of one run, and a driver
on another machine."""

import os
import shutil
import signal
import socket

import pytest

from mtsearch.runs.directory import RunDirectory
from tests.chaos.checks import check_run, event_counts
from tests.chaos.conftest import await_until, run_in
from tests.chaos.driver import TRIALS

pytestmark = pytest.mark.slow


@pytest.fixture
def killed(drive, tmp_path):
    """`killed(kind)` is the run of a driver that died in the middle of it."""

    def start(made="fake"):
        driver = drive(
            act="kill", batch_size=3 if made == "fake" else 64, run=str(tmp_path), made=made
        )
        _, said = driver.communicate(timeout=300)
        assert driver.returncode == -signal.SIGKILL, said
        run = run_in(tmp_path)
        assert any(row["state"] == "running" for row in run.rows())
        return run

    return start


@pytest.mark.parametrize("torn", [False, True])
def test_a_killed_driver_loses_nothing(search, undisturbed, killed, torn):
    run = killed()
    finished = {row["trial"] for row in run.rows() if row["state"] == "done"}
    assert finished
    if torn:
        for path in (run.path / "events.jsonl", run.journal):
            path.write_bytes(path.read_bytes()[:-9])
    code, run, _ = search.resume(run)
    assert code == 0
    check_run(run, undisturbed)
    if not torn:
        assert all(event_counts(run, "start")[trial] == 1 for trial in finished)


def test_trials_of_a_killed_driver_continue_bit_identically(search, undisturbed_real, killed):
    code, run, _ = search.resume(killed("real"), trial_class=TRIALS["real"])
    assert code == 0
    check_run(run, undisturbed_real)


def test_repeatedly_killed_driver_gives_the_same_result(search, undisturbed, drive, tmp_path):
    driver, events = drive(run=str(tmp_path)), 0
    for more in (6, 11, 8):
        events += more
        await_until(lambda: list(tmp_path.glob("toy/*/events.jsonl")), "the first event", driver)
        path = run_in(tmp_path).path / "events.jsonl"
        await_until(
            lambda path=path, events=events: path.read_bytes().count(b"\n") >= events,
            f"{events} events",
            driver,
        )
        driver.kill()
        driver.wait()
        events = path.read_bytes().count(b"\n")
        driver = drive(resume=str(path.parent))
    assert driver.wait(timeout=300) == 0, driver.communicate()
    check_run(run_in(tmp_path), undisturbed)


def test_ctrl_c_prints_a_working_resume_command(search, undisturbed, drive, tmp_path):
    driver = drive(act="interrupt", batch_size=3, run=str(tmp_path))
    out, said = driver.communicate(timeout=300)
    assert driver.returncode == 130 and "Traceback" not in said
    run = run_in(tmp_path)
    lines = out.splitlines()
    assert lines[-1] == f"run: {run.path}"
    assert f"python -m mtsearch.run resume={run.path}" in lines[-2]
    assert (run.path / "trials.parquet").exists()
    code, run, _ = search.resume(run)
    assert code == 0
    check_run(run, undisturbed)


def test_only_one_of_two_resuming_drivers_continues(undisturbed, killed, drive):
    run = killed()
    drivers = [drive(resume=str(run.path)) for _ in range(2)]
    said = [driver.communicate(timeout=300)[1] for driver in drivers]
    assert sorted(driver.returncode for driver in drivers) == [0, 2], said
    second = [driver.returncode for driver in drivers].index(2)
    first = (
        f"is being driven by process {drivers[1 - second].pid} on {socket.gethostname()}. Wait for"
        " its end or stop it"
    )
    assert first in said[second] and said[second].count("\n") == 1
    check_run(run, undisturbed)


def test_a_copied_run_continues_on_another_machine(undisturbed, killed, drive, tmp_path):
    run = killed()
    there = tmp_path / "another machine" / "kept"
    shutil.copytree(run.path, there)
    shutil.rmtree(run.path)
    home = tmp_path / "home"
    home.mkdir()
    token = os.environ.get("RAY_AUTH_TOKEN_PATH", os.path.expanduser("~/.ray/auth_token"))
    elsewhere = {"HOME": str(home), "XDG_CACHE_HOME": str(home), "RAY_AUTH_TOKEN_PATH": token}
    driver = drive(resume=str(there), environment=elsewhere, prefix=another_host())
    out, said = driver.communicate(timeout=300)
    assert driver.returncode == 0, said
    assert out.splitlines()[-1] == f"run: {there}"
    check_run(RunDirectory(there), undisturbed)


def another_host() -> list[str]:
    """A command prefix that gives a process its own host name, if the user has the permission."""
    return (
        ["unshare", "--uts", "sh", "-c", 'hostname elsewhere; exec "$@"', "sh"]
        if os.geteuid() == 0
        else []
    )
