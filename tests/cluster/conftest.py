import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)  # so that test modules find `tests.cluster.slurm`
COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "ip", "nsenter")


@pytest.fixture(scope="session")
def slurm():
    """A SLURM with two nodes; installed where it is missing and can be, else the test is skipped."""
    if os.geteuid() != 0:
        pytest.skip("SLURM's daemons and network namespaces need root")
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    if any(shutil.which(command) is None for command in COMMANDS):
        done = subprocess.run(["sh", str(Path(__file__).with_name("install.sh"))], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"SLURM is missing and could not be installed: {' '.join(done.stderr.split())[-200:]}")
    from tests.cluster.slurm import Slurm

    with Slurm() as running:
        yield running
