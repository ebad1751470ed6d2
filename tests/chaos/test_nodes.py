"""Whole Ray nodes that die: their trials go on elsewhere from their last state, which lies in the run directory."""

import psutil
import pytest
from ray.cluster_utils import Cluster

from tests.chaos.checks import check_run, counted
from tests.chaos.conftest import await_until, run_in
from tests.tuning.fake import order, release, waits

pytestmark = pytest.mark.cluster


@pytest.fixture
def nodes(ray_cluster):
    """A head without CPUs and three nodes of one each, apart from the cluster of the other tests: `(cluster, its nodes)`."""
    small = {"object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small})
    made = [cluster.add_node(num_cpus=1, **small) for _ in range(3)]
    yield cluster, made
    cluster.shutdown()


def node_of(pid, nodes):
    """The node whose raylet started a process."""
    above = {parent.pid for parent in psutil.Process(pid).parents()}
    (node,) = [node for node in nodes if node.all_processes["raylet"][0].process.pid in above]
    return node


@pytest.mark.parametrize("workers", [1, 2])
def test_a_trial_whose_node_dies_goes_on_elsewhere(calm, drive, nodes, tmp_path, workers):
    cluster, alive = nodes
    order("wait", 3, 2)
    more = {"workers": workers, "resources": {"cpu": 1, "collective_timeout": 30}}
    driver = drive(cluster=cluster.address, run=str(tmp_path), more=more, search={"slots": 2 if workers == 1 else 1})
    pid = await_until(lambda: waits(3, 2), "a trial that waits", driver, seconds=240)
    cluster.remove_node(node_of(pid, alive), allow_graceful=False)
    release(3, 2)
    out, said = driver.communicate(timeout=400)
    assert driver.returncode == 0, (out, said)
    run = run_in(tmp_path)
    check_run(run, calm)
    assert counted(run, "start")["0002"] == 2
    assert not psutil.pid_exists(pid)


def test_a_driver_whose_head_node_dies_ends_and_its_run_goes_on_elsewhere(search, calm, drive, nodes, tmp_path):
    cluster, _ = nodes
    order("wait", 3, 2)
    soon = {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
    driver = drive(cluster=cluster.address, run=str(tmp_path), environment=soon)
    await_until(lambda: waits(3, 2), "a trial that waits", driver, seconds=240)
    cluster.remove_node(cluster.head_node, allow_graceful=False)
    release(3, 2)
    assert driver.wait(timeout=120) != 0
    code, run, _ = search.resume(run_in(tmp_path))
    assert code == 0
    check_run(run, calm)
