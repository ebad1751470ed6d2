import contextlib
import json
import multiprocessing
import os
import socket
import subprocess
import sys

import pytest

from mtsearch.config.errors import BadInput

LISTENING = """
import json, os, psutil, ray
from mtsearch.execution.cluster import cluster
with cluster():
    @ray.remote
    def one():
        return 1
    assert ray.get(one.remote()) == 1
    me = psutil.Process()
    processes = [me, *me.children(recursive=True)]
    sockets = [c for process in processes for c in process.net_connections(kind="inet")]
    addresses = {c.laddr.ip for c in sockets if c.status == psutil.CONN_LISTEN}
    print(json.dumps([sorted(addresses), os.environ["RAY_AUTH_MODE"]]))
"""


@pytest.mark.slow
def test_local_clusters_use_loopback_and_a_token():
    done = subprocess.run([sys.executable, "-c", LISTENING], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    addresses, authentication = json.loads(done.stdout.splitlines()[-1])
    assert addresses and {address.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}
    assert authentication == "token"


def test_driver_waits_for_the_expected_nodes(ray_cluster, monkeypatch):
    from mtsearch.execution import joining

    monkeypatch.setattr(joining, "NODES_TIMEOUT", 0.0)
    joining._wait_for_nodes(1)
    with pytest.raises(
        BadInput,
        match=(
            r"^the cluster has 1 of the 2 nodes that `MTSEARCH_NODES` requires after 0 seconds\. "
        ),
    ):
        joining._wait_for_nodes(2)


@pytest.mark.parametrize("text", ["0", "two", "-1", "1.5", ""])
def test_invalid_numbers_of_nodes_are_refused(monkeypatch, text):
    from mtsearch.execution import joining

    monkeypatch.setenv("MTSEARCH_NODES", text)
    with pytest.raises(
        BadInput, match=r"`MTSEARCH_NODES` should be the number of nodes to wait for\. Found"
    ):
        joining._nodes_to_await()


def test_nodes_with_other_code_are_named(ray_cluster, monkeypatch):
    from mtsearch.execution import joining

    joining._check_code()
    monkeypatch.setattr(joining, "NODE_START_TIMEOUT", 0.0)
    with pytest.raises(
        BadInput, match=r"^node 127\.0\.0\.1 of the cluster started no process in 0 seconds\. "
    ):
        joining._check_code()


@contextlib.contextmanager
def listening_as(uid):
    """The port of a server of another user."""

    def serve(pipe):
        os.setuid(uid)
        with socket.create_server(("127.0.0.1", 0)) as server:
            pipe.send(server.getsockname()[1])
            pipe.recv()

    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=serve, args=(there,))
    process.start()
    yield here.recv()
    here.send(None)
    process.join()


@pytest.fixture
def address_file(tmp_path, monkeypatch):
    """The file that names the newest cluster of this machine, and that cluster alone."""
    from mtsearch.execution import compat, joining

    monkeypatch.setattr(joining.ray, "shutdown", lambda: None)  # other tests use this process
    path = tmp_path / "ray_current_cluster"
    monkeypatch.setattr(compat, "address_file", lambda: path)
    monkeypatch.setattr(compat, "address_on_this_machine", lambda: path.read_text().strip())
    return path


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start a process of another user")
def test_auto_refuses_the_cluster_of_another_user(address_file):
    from mtsearch.execution.joining import find_own_cluster, join

    with listening_as(65534) as port:
        address_file.write_text(f"127.0.0.1:{port}\n")
        with pytest.raises(BadInput, match=rf"127.0.0.1:{port}, which belongs to another user"):
            join("auto")
    address_file.write_text("192.0.2.1:6379")  # a cluster whose head is elsewhere
    assert find_own_cluster() == "192.0.2.1:6379"
    os.chown(address_file, 65534, 65534)
    with pytest.raises(BadInput, match=r"^`RAY_ADDRESS=auto` finds .*another user \(uid 65534\)"):
        find_own_cluster()


def test_auto_finds_the_cluster_of_this_user(address_file):
    from mtsearch.execution.joining import find_own_cluster

    with socket.create_server(("127.0.0.1", 0)) as server:
        address_file.write_text(f"127.0.0.1:{server.getsockname()[1]}")
        assert find_own_cluster() == address_file.read_text()


@pytest.mark.parametrize("kind", ["fifo", "folder", "bytes", "lines", "empty"])
def test_auto_refuses_damaged_address_files(address_file, kind):
    from mtsearch.execution.joining import join

    if kind == "fifo":
        os.mkfifo(address_file)
    elif kind == "folder":
        address_file.mkdir()
    else:
        texts = {"bytes": b"\xff\xfe", "lines": b"a\nb\nc:99999999", "empty": b""}
        address_file.write_bytes(texts[kind])
    with pytest.raises(BadInput, match=r"^[^\n]*RAY_ADDRESS=[^\n]*$"):
        join("auto")


def test_another_version_of_ray_is_named(monkeypatch):
    from mtsearch.execution import joining

    versions = {"ray_version": "2.1.0", "python_version": "3.11.0"}
    monkeypatch.setattr(joining.compat, "cluster_versions", lambda address, timeout: versions)
    monkeypatch.setattr(joining.compat, "require_token", lambda: None)
    with pytest.raises(
        BadInput,
        match=(
            r"^the cluster at `RAY_ADDRESS=h:1` runs Ray 2\.1\.0 on Python 3\.11\.0, and this"
            r" process has Ray 2\."
        ),
    ):
        joining._check_connection("h:1")


def test_nodes_without_results_or_data_are_named(ray_cluster, monkeypatch, tmp_path):
    from mtsearch.execution import joining

    monkeypatch.setattr(joining.ray, "nodes", lambda nodes=joining.ray.nodes: 2 * nodes())
    joining.check_shared_folders(tmp_path / "results", root=tmp_path, store=None)
    assert not list((tmp_path / "results").iterdir())
    elsewhere = tmp_path / "elsewhere"
    with pytest.raises(
        BadInput,
        match=(
            rf"^node 127\.0\.0\.1 of the cluster cannot access {elsewhere}\. Give `data\.root` a"
            r" folder that all"
        ),
    ):
        joining.check_shared_folders(None, root=elsewhere)
