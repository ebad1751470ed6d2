"""Debian packages that the tests of clusters need."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def provide(what: str, *commands: str) -> None:
    """Have the commands on PATH, installed if they are missing; if that fails, the test is
    skipped."""
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    if all(shutil.which(command) for command in commands):
        return
    if os.geteuid() != 0:
        pytest.skip(f"{what} is missing, and only root can install it")
    done = subprocess.run(
        ["sh", str(Path(__file__).with_name("install.sh"))], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(
            f"{what} is missing and could not be installed: {' '.join(done.stderr.split())[-200:]}"
        )
