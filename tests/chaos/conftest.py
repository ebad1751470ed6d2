"""Undisturbed reference runs, and drivers in separate processes."""

import json
import os
import subprocess
import sys
import time

import pytest

from mtsearch.runs.directory import RunDirectory
from tests.chaos.driver import TRIALS, space_of
from tests.helpers.fixtures import ROOT

MADE: dict = {}


@pytest.fixture
def undisturbed(search, request):
    """A search of eight fake trials and a control, made once."""
    return _made("fake", search, request)


@pytest.fixture
def undisturbed_real(search, request):
    """A search of two real trials, made once."""
    return _made("real", search, request)


def _made(kind, search, request):
    if kind not in MADE:
        root = request.getfixturevalue("tmp_path_factory").mktemp(kind)
        MADE[kind] = search(space_of(kind, str(root)), trial_class=TRIALS[kind])[1]
    return MADE[kind]


@pytest.fixture
def drive(address):
    """`drive(...)` starts a driver in a separate process, connected to the cluster of the tests,
    and returns the process."""
    begun = []

    def start(cluster=address, prefix=(), environment=None, **options):
        joined = {"RAY_ADDRESS": cluster, "RAY_AUTH_MODE": "token"}
        command = [
            *prefix,
            sys.executable,
            "-m",
            "tests.chaos.driver",
            json.dumps({"made": "fake", **options}),
        ]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        begun.append(
            subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **joined, **(environment or {})}, **pipes
            )
        )
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def run_in(root) -> RunDirectory:
    """The one run in a results folder."""
    (folder,) = (root / "toy").iterdir()
    return RunDirectory(folder)


def await_until(met, what, process=None, seconds=120):
    """Poll until a condition is met and return its value; fail if the driver ends first."""
    deadline = time.monotonic() + seconds
    while not (found := met()):
        assert process is None or process.poll() is None, (
            f"the driver ended before {what}: {process.communicate()}"
        )
        assert time.monotonic() < deadline, f"no {what} within {seconds} s"
        time.sleep(0.05)
    return found
