import json
import subprocess
import sys

import pytest

from mtsearch.config.errors import BadInput

LISTENING = """
import json, os, psutil, ray
from mtsearch.tuning.cluster import cluster
with cluster():
    @ray.remote
    def one():
        return 1
    assert ray.get(one.remote()) == 1
    me = psutil.Process()
    sockets = [c for process in [me, *me.children(recursive=True)] for c in process.net_connections(kind="inet")]
    print(json.dumps([sorted({c.laddr.ip for c in sockets if c.status == psutil.CONN_LISTEN}), os.environ["RAY_AUTH_MODE"]]))
"""


@pytest.mark.slow
def test_a_local_cluster_listens_on_loopback_only_and_asks_for_a_token():
    done = subprocess.run([sys.executable, "-c", LISTENING], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    addresses, authentication = json.loads(done.stdout.splitlines()[-1])
    assert addresses and {address.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}
    assert authentication == "token"


def test_a_driver_waits_for_the_nodes_that_are_to_come(ray_cluster, monkeypatch):
    from mtsearch.tuning import cluster

    monkeypatch.setattr(cluster, "GATHER", 0.0)
    cluster._gather(1)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: None)  # the tests' own connection stays
    with pytest.raises(BadInput, match=r"^the cluster has 1 of the 2 nodes that `MTSEARCH_NODES` asks for after 0 seconds\. "):
        cluster._gather(2)


@pytest.mark.parametrize("text", ["0", "two", "-1", "1.5", ""])
def test_a_number_of_nodes_that_is_none_is_refused(monkeypatch, text):
    from mtsearch.tuning import cluster

    monkeypatch.setenv("MTSEARCH_NODES", text)
    with pytest.raises(BadInput, match=r"`MTSEARCH_NODES` should be the number of nodes to wait for\. Found"):
        cluster._nodes_to_await()
