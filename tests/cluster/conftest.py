import os
import sys
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)  # so that test modules find `tests.cluster.slurm`
COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "ip", "nsenter")


@pytest.fixture(scope="session")
def slurm():
    """A SLURM with two nodes; installed if it is missing; if that fails, the test is
    skipped."""
    if os.geteuid() != 0:
        pytest.skip("SLURM's daemons and network namespaces need root")
    from tests.cluster.packages import provide
    from tests.cluster.slurm import Slurm

    provide("SLURM", *COMMANDS)
    with Slurm() as running:
        yield running
