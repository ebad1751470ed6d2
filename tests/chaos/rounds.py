"""Rounds of random faults: a search with real trials is disturbed at a random moment after its
first report, resumed if it has ended, and compared with an undisturbed run.

``MTSEARCH_ROUNDS=200 MTSEARCH_ROUNDS_LOG=FILE pytest -m slow tests/chaos/test_random_faults.py``
runs 200 rounds and appends a line of JSON to FILE for each; rounds that are in FILE are left out.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from mtsearch.runs.directory import RunDirectory
from tests.chaos.checks import check_run
from tests.helpers.spaces import real

SEED = 20
LONGER = {  # 16 reports a trial, so that faults fall between them
    "data": {"dataset": "cifar10_mnist", "limit": 600},
    "trial": {
        **real("results").raw["trial"],
        "epochs": {"search": 4, "retrain": 12},
    },
}
KINDS = {
    "search": {**LONGER, "resources": {"cpu": 0.5, "report_timeout": 15}},
    "workers": {
        **LONGER,
        "workers": 2,
        "resources": {"cpu": 0.5, "collective_timeout": 15},
        "search": {"sampler": "grid", "trials": 2, "slots": 1},
    },
}
FAULTS = ("kill driver", "terminate driver", "pause driver", "kill actor", "stop actor")
# in the names of the processes that train; a stopped worker is noticed by its group
PROCESSES = {"search": "TrialActor", "workers": "RayTrainWorker"}
LONGEST = 240  # seconds that a driver may take
DRIVERS = 4  # of one round at most

Drive = Callable[..., subprocess.Popen]


def undisturbed(drive: Drive, root: Path, kind: str) -> tuple[RunDirectory, float]:
    """A run without faults, and the seconds from its first report to its end."""
    driver = drive(run=str(root), made="real", more=KINDS[kind])
    run = first_report(driver, root)
    began = time.monotonic()
    out, said = driver.communicate(timeout=LONGEST)
    assert driver.returncode == 0, (out, said)
    return run, time.monotonic() - began


def first_report(driver: subprocess.Popen, root: Path) -> RunDirectory:
    """The run in a results folder, once it has a report."""
    deadline = time.monotonic() + LONGEST
    while True:
        for log in root.glob("toy/*/events.jsonl"):
            if b'"report"' in log.read_bytes():
                return RunDirectory(log.parent)
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < deadline, "no report"
        time.sleep(0.02)


def play(drive: Drive, number: int, root: Path, baselines: dict[str, tuple]) -> dict:
    """Run one round. Returns its log line; raises AssertionError if the run differs."""
    draw = random.Random(f"{SEED}-{number}")
    kind = draw.choice(["search", "search", "workers"])
    fault = draw.choice(FAULTS)
    baseline, seconds = baselines[kind]
    delay = draw.uniform(0, seconds)
    began = time.monotonic()
    driver = drive(run=str(root), made="real", more=KINDS[kind])
    run = first_report(driver, root)
    time.sleep(delay)  # the random moment
    hit = cause(fault, driver, PROCESSES[kind], draw)
    drivers = 1
    out, said = driver.communicate(timeout=LONGEST)
    while driver.returncode != 0 and drivers < DRIVERS:
        driver = drive(resume=str(run.path), made="real")
        out, said = driver.communicate(timeout=LONGEST)
        drivers += 1
    assert driver.returncode == 0, (out, said)
    check_run(run, baseline)
    return {
        "round": number,
        "seed": SEED,
        "kind": kind,
        "fault": fault,
        "hit": hit,
        "delay": round(delay, 2),
        "drivers": drivers,
        "result": "equal",
        "seconds": round(time.monotonic() - began, 1),
    }


def cause(fault: str, driver: subprocess.Popen, name: str, draw: random.Random) -> bool:
    """Cause a fault. Returns whether there was a process to disturb."""
    what, whom = fault.split()
    if whom == "driver":
        if driver.poll() is not None:
            return False
        if what == "pause":
            driver.send_signal(signal.SIGSTOP)
            time.sleep(2)  # the length of the pause
            driver.send_signal(signal.SIGCONT)
        else:
            driver.send_signal(signal.SIGKILL if what == "kill" else signal.SIGTERM)
        return True
    found = sorted(processes(name), key=lambda process: process.pid)
    if not found:
        return False
    draw.choice(found).send_signal(signal.SIGKILL if what == "kill" else signal.SIGSTOP)
    return True


def processes(name: str) -> list[psutil.Process]:
    """The processes of this cluster with a name."""
    found = []
    for process in psutil.Process(os.getpid()).children(recursive=True):
        try:
            if name in process.cmdline()[0]:
                found.append(process)
        except (psutil.Error, IndexError):
            continue
    return found


def play_all(drive: Drive, root: Path, count: int, log: Path) -> list[dict]:
    """Rounds 0 to `count` - 1, except those in the log. Returns their log lines; a failed one
    has the reason."""
    print(f"rounds of seed {SEED}: {count}")
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    known = {line["round"] for line in lines if line["seed"] == SEED}
    missing = [number for number in range(count) if number not in known]
    baselines = {kind: undisturbed(drive, root / f"undisturbed-{kind}", kind) for kind in KINDS}
    for number in missing:
        folder = root / str(number)
        folder.mkdir()
        try:
            line = play(drive, number, folder, baselines)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            line = {"round": number, "seed": SEED, "result": f"{type(error).__name__}: {error}"}
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line)[:300])
        lines.append(line)
    return lines
