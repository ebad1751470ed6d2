"""Rounds of random faults: a search with real trials is disturbed at a random moment after its
first report, resumed if it has ended, and compared with an undisturbed run.

``MTSEARCH_ROUNDS=200 MTSEARCH_ROUNDS_SEED=20 MTSEARCH_ROUNDS_LOG=FILE pytest -m slow
tests/chaos/test_random_faults.py`` runs 200 rounds and appends a line of JSON to FILE for each;
rounds that are in FILE are left out.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from mtsearch.runs.directory import RunDirectory
from tests.chaos.checks import check_run
from tests.helpers.fake import fill
from tests.helpers.spaces import real

LONGER = {  # 8 reports a trial, so that faults fall between them
    "data": {"dataset": "cifar10_mnist", "limit": 600},
    "trial": {
        **real("results").raw["trial"],
        "epochs": {"search": 3, "retrain": 5},
    },
}
KINDS = {
    "search": {**LONGER, "resources": {"cpu": 0.5, "report_timeout": 30}},
    "workers": {
        **LONGER,
        "workers": 2,
        "resources": {"cpu": 0.5, "collective_timeout": 30},
        "search": {"sampler": "grid", "trials": 2, "slots": 1},
    },
}
FAULTS = (
    "kill driver",
    "terminate driver",
    "pause driver",
    "kill actor",
    "stop actor",
    "kill raylet",
    "kill gcs_server",
    "fill disk",
)
OWN_CLUSTER = ("kill raylet", "kill gcs_server")  # others use the cluster of the tests
# in the names of the processes that train; a stopped worker is noticed by its group
PROCESSES = {"search": "Trainable", "workers": "RayTrainWorker"}
LONGEST = 600  # seconds that a driver may take
DRIVERS = 4  # of one round at most

Drive = Callable[..., subprocess.Popen]


def undisturbed(drive: Drive, root: Path, kind: str) -> tuple[RunDirectory, int]:
    """A run without faults, and the number of events after its first report."""
    driver = drive(run=str(root), made="real", more=KINDS[kind])
    run = moment(driver, root, 0)
    out, said = driver.communicate(timeout=LONGEST)
    assert driver.returncode == 0, (out, said)
    return run, after_first_report(run.events_path)


def after_first_report(log: Path) -> int:
    """The number of events after the first report; -1 where there is no report."""
    kinds = [b'"event": "report"' in line for line in log.read_bytes().splitlines()]
    return len(kinds) - 1 - kinds.index(True) if True in kinds else -1


def moment(driver: subprocess.Popen, root: Path, events: int) -> RunDirectory:
    """The run in a results folder, once it has a report and so many events after it."""
    deadline = time.monotonic() + LONGEST
    while True:
        for log in root.glob("toy/*/events.jsonl"):
            if after_first_report(log) >= events:
                return RunDirectory(log.parent)
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < deadline, "no report"
        time.sleep(0.02)


def drawn(seed: int, number: int) -> tuple[str, str, random.Random]:
    """The kind of run and the fault of a round, and its generator. Eight rounds in a row, from a
    multiple of eight, have all faults."""
    deck = list(FAULTS)
    random.Random(f"{seed}-faults-{number // len(FAULTS)}").shuffle(deck)
    draw = random.Random(f"{seed}-{number}")
    return draw.choice(["search", "search", "workers"]), deck[number % len(FAULTS)], draw


def play(drive: Drive, seed: int, number: int, root: Path, baselines: dict[str, tuple]) -> dict:
    """Run one round. Returns its log line; raises AssertionError if the run differs."""
    kind, fault, draw = drawn(seed, number)
    baseline, total = baselines[kind]
    events, delay = draw.randrange(total), draw.uniform(0, 1)  # the random moment
    own = {"cluster": ""} if fault in OWN_CLUSTER else {}
    began = time.monotonic()
    with disk(root, fault == "fill disk") as full:
        driver = drive(run=str(root), made="real", more=KINDS[kind], **own)
        run = moment(driver, root, events)
        time.sleep(delay)
        hit = cause(fault, driver, PROCESSES[kind], draw, root)
        drivers = 1
        out, said = ended(driver, out_of=fault)
        full()
        while driver.returncode != 0 and drivers < DRIVERS:
            driver = drive(resume=str(run.path), made="real")
            out, said = ended(driver)
            drivers += 1
        assert driver.returncode == 0, (out, said)
        check_run(run, baseline)
    return {
        "round": number,
        "seed": seed,
        "kind": kind,
        "fault": fault,
        "hit": hit,
        "events": events,  # between the first report and the fault
        "delay": round(delay, 2),
        "drivers": drivers,
        "result": "equal",
        "seconds": round(time.monotonic() - began, 1),
    }


def ended(driver: subprocess.Popen, out_of: str = "") -> tuple[str, str]:
    """What a driver printed until its end; it has no traceback, and names the run if it stopped
    for a fault of the machine."""
    out, said = driver.communicate(timeout=LONGEST)
    assert "Traceback" not in said, said
    assert driver.returncode != signal.SIGTERM, (out_of, out, said)  # as Ray's handler exits
    if driver.returncode == 130:
        assert out.splitlines()[-1].startswith("run: "), (out_of, out, said)
    if driver.returncode == 1:
        assert re.search(r"^stopped: .* resume=", out, re.M), (out_of, out, said)
        assert out.splitlines()[-1].startswith("run: "), (out_of, out, said)
    return out, said


@contextmanager
def disk(folder: Path, small: bool) -> Iterator[Callable[[], None]]:
    """Make a folder a file system of 64 MiB if it should be small. Yields a function that deletes
    what `cause` filled it with."""
    if (
        small
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(folder)], capture_output=True
        ).returncode
    ):
        small = False  # needs root; the round then has no fault
    try:
        yield lambda: (folder / "filler").unlink(missing_ok=True)
    finally:
        if small:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def cause(
    fault: str, driver: subprocess.Popen, name: str, draw: random.Random, folder: Path
) -> bool:
    """Cause a fault. Returns whether there was a process to disturb."""
    what, whom = fault.split()
    if driver.poll() is not None:
        return False
    if whom == "disk":
        if folder.is_mount():
            fill(folder)
        return folder.is_mount()
    if whom == "driver":
        if what == "pause":
            driver.send_signal(signal.SIGSTOP)
            time.sleep(2)  # the length of the pause
            driver.send_signal(signal.SIGCONT)
        else:
            driver.send_signal(signal.SIGKILL if what == "kill" else signal.SIGTERM)
        return True
    of = os.getpid() if whom == "actor" else driver.pid
    found = sorted(
        processes(name if whom == "actor" else whom, of), key=lambda process: process.pid
    )
    if not found:
        return False
    draw.choice(found).send_signal(signal.SIGKILL if what == "kill" else signal.SIGSTOP)
    return True


def processes(name: str, of: int) -> list[psutil.Process]:
    """The processes below process `of` whose command or title contains a name."""
    found = []
    for process in psutil.Process(of).children(recursive=True):
        try:
            if name in process.cmdline()[0]:
                found.append(process)
        except (psutil.Error, IndexError):
            continue
    return found


def play_all(drive: Drive, root: Path, seed: int, count: int, log: Path) -> list[dict]:
    """Rounds 0 to `count` - 1, except those in the log. Returns their log lines; a failed one
    has the reason."""
    print(f"rounds of seed {seed}: {count}")
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    known = {line["round"] for line in lines if line["seed"] == seed}
    missing = [number for number in range(count) if number not in known]
    kinds = {drawn(seed, number)[0] for number in missing}
    baselines = {
        kind: undisturbed(drive, root / f"undisturbed-{kind}", kind) for kind in sorted(kinds)
    }
    for number in missing:
        folder = root / str(number)
        folder.mkdir()
        try:
            line = play(drive, seed, number, folder, baselines)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            kind, fault, _ = drawn(seed, number)
            reason = f"{type(error).__name__}: {error}"
            line = {"round": number, "seed": seed, "kind": kind, "fault": fault, "result": reason}
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line)[:300], flush=True)
        lines.append(line)
    return lines
