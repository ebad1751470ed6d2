"""Joining a running cluster. What would make a search hang or fail there is checked first and
reported in one sentence."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import AuthenticationError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import mtsearch
from mtsearch.config.errors import BadInput
from mtsearch.execution import compat

CONNECT_TIMEOUT = 10.0  # seconds until a running cluster accepts a connection
NODES_TIMEOUT = 300.0  # seconds until as many nodes as `MTSEARCH_NODES` says have joined
NODE_START_TIMEOUT = 120.0  # seconds until a node has started a process that imports mtsearch


def join(address: str) -> None:
    """Connect to the cluster at `address` (``HOST:PORT``, or ``auto`` for the one on this machine).

    Raises BadInput where the connection, or a search on the cluster, is impossible: within seconds
    for a host that does not answer, a missing or wrong token and other versions; within 40 seconds
    (a limit of Ray) for a server that is not Ray's; within two minutes for a node without this
    mtsearch. `ray.init` alone tries for minutes, or never ends.
    """
    nodes = _nodes_to_await()
    try:
        if address == "auto":
            address = find_own_cluster()
        host, _, port = address.rpartition(":")
        if "://" not in address and host and port.isdigit():
            socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT).close()
            _check_connection(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except BadInput:
        raise
    except Exception as error:  # Ray raises many kinds here
        ray.shutdown()
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise BadInput(
            f"the cluster that `RAY_ADDRESS={address}` names cannot be joined: {reason}. Start it,"
            " correct RAY_ADDRESS, or unset it."
        ) from error
    try:
        _wait_for_nodes(nodes)
        _check_code()
    except BadInput:
        ray.shutdown()
        raise


def find_own_cluster() -> str:
    """``HOST:PORT`` of the cluster that ``RAY_ADDRESS=auto`` means.

    A cluster of another user is refused: joining it would send this user's token to the processes
    of that user, and run trials as that user. Raises BadInput or ConnectionError.
    """
    record = compat.address_file()
    if os.path.lexists(record) and not record.is_file():
        raise BadInput(
            f"`RAY_ADDRESS=auto` needs a cluster's address in {record}. Found no regular file."
            " Remove it, or set RAY_ADDRESS=HOST:PORT."
        )
    address = compat.address_on_this_machine()
    if not re.fullmatch(r"\S+:[0-9]{1,5}", address):
        raise BadInput(
            f"`RAY_ADDRESS=auto` needs the address HOST:PORT of a cluster. Found {address[:80]!r}"
            f" in {record}. Remove the file, or set RAY_ADDRESS=HOST:PORT."
        )
    owner = compat.listening_user(address)
    if owner is None and record.is_file() and record.read_text().strip() == address:
        owner = record.stat().st_uid
    if owner not in (None, os.getuid()):
        raise BadInput(
            f"`RAY_ADDRESS=auto` finds the cluster at {address}, which belongs to another user (uid"
            f" {owner}). Set RAY_ADDRESS={address} to join it nevertheless, or unset RAY_ADDRESS to"
            " start one."
        )
    return address


def _check_connection(address: str) -> None:
    """Check that the cluster accepts this process's token and has its versions of Ray and
    Python."""
    try:
        compat.require_token()
        there = compat.cluster_versions(address, CONNECT_TIMEOUT)
    except AuthenticationError as error:
        raise BadInput(
            f"the cluster at `RAY_ADDRESS={address}` requires a token, and the one of this process"
            " is missing or differs. Set RAY_AUTH_TOKEN to what `ray get-auth-token` prints on the"
            " cluster's head, or copy its ~/.ray/auth_token here."
        ) from error
    if there is not None and not compat.compatible(there):
        ray_here, python_here = compat.own_versions()
        raise BadInput(
            f"the cluster at `RAY_ADDRESS={address}` runs Ray {there['ray_version']} on Python"
            f" {there['python_version']}, and this process has Ray {ray_here} on Python"
            f" {python_here}. Install the cluster's versions here, or run the search there: `ray"
            " job submit`."
        )


def _nodes_to_await() -> int:
    text = os.environ.get("MTSEARCH_NODES", "1")
    if not text.isdecimal() or int(text) < 1:
        raise BadInput(
            f"`MTSEARCH_NODES` should be the number of nodes to wait for. Found {text!r}."
        )
    return int(text)


def _wait_for_nodes(wanted: int) -> None:
    """Poll until `wanted` nodes have joined: Ray has no event for it that a driver can await."""
    end = time.monotonic() + NODES_TIMEOUT
    while (there := len(compat.alive_nodes())) < wanted:
        if time.monotonic() > end:
            raise BadInput(
                f"the cluster has {there} of the {wanted} nodes that `MTSEARCH_NODES` requires"
                f" after {NODES_TIMEOUT:g} seconds. Read the logs of the missing nodes, or lower"
                " `MTSEARCH_NODES`."
            )
        time.sleep(0.5)


def fingerprint() -> str:
    """The version of this mtsearch, and eight digits that change with any of its source files."""
    folder, digest = Path(mtsearch.__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return f"{mtsearch.__version__} ({digest.hexdigest()[:8]})"


def _run_on_nodes(function: Callable[..., Any], *arguments: Any) -> Iterator[tuple[str, Any]]:
    """Run a function on every node at once; yields each node's address and the reference of its
    result. Raises BadInput where a node does not start the function in time."""
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in compat.alive_nodes()}
    task = ray.remote(num_cpus=0, max_retries=0)(function)
    strategies = {node: NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes}
    results = {
        task.options(scheduling_strategy=strategies[node]).remote(*arguments): node
        for node in nodes
    }
    done, missing = ray.wait(list(results), num_returns=len(results), timeout=NODE_START_TIMEOUT)
    yield from ((nodes[results[result]], result) for result in done)
    if missing:
        names = ", ".join(sorted(nodes[results[result]] for result in missing))
        raise BadInput(
            f"node {names} of the cluster started no process in {NODE_START_TIMEOUT:g} seconds."
            " Read its logs, or remove it from the cluster."
        )


def _check_code() -> None:
    """Check that every node imports the same mtsearch as this process; otherwise trials would
    fail, or train something else."""
    here = fingerprint()
    for name, result in _run_on_nodes(fingerprint):
        try:
            there = ray.get(result)
        except Exception as error:  # its class depends on where the import fails
            # the cause keeps the traceback of the node
            lines = str(getattr(error, "cause", None) or error).strip().splitlines()
            missing = re.search(r"No module named 'mtsearch['.]", lines[-1])
            reason = (
                "has no mtsearch" if missing else f"cannot run mtsearch: {lines[-1][-200:].strip()}"
            )
            raise BadInput(
                f"node {name} of the cluster {reason}. Install this one ({here}, Python"
                f" {sys.version.split()[0]}) there, or give it to the job with `ray job submit"
                " --working-dir`."
            ) from error
        if there != here:
            raise BadInput(
                f"node {name} of the cluster has mtsearch {there}, and this process {here}. Install"
                " the same one on all nodes, or give it to the job with `ray job submit"
                " --working-dir`."
            )


def _existing(paths: Sequence[str]) -> list[bool]:
    return [os.path.exists(path) for path in paths]


def check_shared_folders(results: str | Path | None, **data: Path | None) -> None:
    """Check that every node can access the results folder and the data folders (`root`, `store`);
    None is not checked. Raises BadInput.

    A node without access to them would keep the checkpoints of its trials to itself, and fail
    each trial that another node has begun.
    """
    if len(compat.alive_nodes()) < 2:
        return
    with ExitStack() as stack:
        places = {
            f"data.{key}": (str(path), str(path)) for key, path in data.items() if path is not None
        }
        if results is not None:
            Path(results).mkdir(parents=True, exist_ok=True)
            # A new file: another machine may have a folder of the same name.
            marker = stack.enter_context(
                tempfile.NamedTemporaryFile(dir=results, prefix=".seen-by-all-nodes-")
            )
            places["results.root"] = (
                str(Path(results).resolve()),
                str(Path(marker.name).resolve()),
            )
        for name, result in _run_on_nodes(_existing, [checked for _, checked in places.values()]):
            for (key, (path, _)), seen in zip(places.items(), ray.get(result), strict=True):
                if not seen:
                    store = (
                        ", or an object store such as s3://BUCKET/PREFIX"
                        if key == "results.root"
                        else ""
                    )
                    raise BadInput(
                        f"node {name} of the cluster cannot access {path}. Give `{key}` a folder"
                        f" that all nodes share{store}."
                    )
