"""Whole Ray nodes die: their trials continue on other nodes from their last state, which is in the
run directory."""

import subprocess
import sys

import pytest

from tests.chaos.checks import check_run, event_counts
from tests.chaos.conftest import await_until, run_in
from tests.helpers.fake import order, release, waits
from tests.helpers.fixtures import ROOT

pytestmark = pytest.mark.cluster


class Nodes:
    """The cluster of `tests.chaos.nodes`."""

    def __init__(self):
        command = [sys.executable, "-m", "tests.chaos.nodes"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = self.answer("address ").split()[1]

    def answer(self, start):
        return next(line for line in self.process.stdout if line.startswith(start))

    def lose(self, what):
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        self.answer("lost")


@pytest.fixture
def nodes(ray_cluster):
    """A cluster separate from that of the other tests."""
    made = Nodes()
    yield made
    try:
        made.process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        made.process.kill()
        made.process.communicate()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_trial_whose_node_dies_goes_on_elsewhere(undisturbed, drive, nodes, tmp_path, workers):
    order("wait", 3, 2)
    more = {"workers": workers, "resources": {"cpu": 1, "collective_timeout": 30}}
    driver = drive(
        cluster=nodes.address,
        run=str(tmp_path),
        more=more,
        search={"slots": 2 if workers == 1 else 1},
    )
    nodes.lose(await_until(lambda: waits(3, 2), "a trial that waits", driver, seconds=240))
    release(3, 2)
    out, said = driver.communicate(timeout=400)
    assert driver.returncode == 0, (out, said)
    run = run_in(tmp_path)
    check_run(run, undisturbed)
    assert event_counts(run, "start")["0002"] == 2


def test_a_run_continues_after_head_node_death(search, undisturbed, drive, nodes, tmp_path):
    order("wait", 3, 2)
    soon = {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
    driver = drive(cluster=nodes.address, run=str(tmp_path), environment=soon)
    await_until(lambda: waits(3, 2), "a trial that waits", driver, seconds=240)
    nodes.lose("head")
    release(3, 2)
    driver.communicate(timeout=120)
    assert driver.returncode != 0
    code, run, _ = search.resume(run_in(tmp_path))
    assert code == 0
    check_run(run, undisturbed)
