import json
import subprocess
import sys

import pytest

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
