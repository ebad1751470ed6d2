"""Joining a cluster that runs: what would make a search hang or fail there is found out first, and
said in one sentence."""

from __future__ import annotations

import hashlib
import json
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
from ray._private.authentication.authentication_token_setup import (
    ensure_token_if_auth_enabled,
    maybe_enable_token_auth_if_token_available,
)
from ray._private.utils import check_version_info, compute_version_info
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.exceptions import AuthenticationError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import mtsearch
from mtsearch.config.errors import BadInput

ANSWER = 10.0  # seconds in which a running cluster takes a connection
GATHER = 300.0  # seconds in which the nodes that MTSEARCH_NODES counts should have joined it
START = 120.0  # seconds in which each node starts a process that can import mtsearch


def join(address: str) -> None:
    """Connect to the cluster at `address` ("HOST:PORT"); raises BadInput where that, or a search on
    it, cannot be.

    A host that does not answer, a missing or wrong token and other versions are known in seconds, a
    server that is not Ray's after 40 (Ray's own patience), a node without this mtsearch after two
    minutes at most. `ray.init` alone tries for minutes, or for ever.
    """
    nodes = _nodes_to_await()
    try:
        host, _, port = address.rpartition(":")
        if "://" not in address and host and port.isdigit():
            socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER).close()
            _knock(address)
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
        _gather(nodes)
        _same_code()
    except BadInput:
        ray.shutdown()
        raise


def _knock(address: str) -> None:
    """Ask for the cluster's versions, with the token that this process has."""
    try:
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)  # as `ray.init` does
        ensure_token_if_auth_enabled(
            None, create_token_if_missing=False
        )  # the client below aborts the process without one
        found = GcsClient(address=address).internal_kv_get(
            b"CLUSTER_METADATA", b"cluster", timeout=ANSWER
        )
    except AuthenticationError as error:
        raise BadInput(
            f"the cluster at `RAY_ADDRESS={address}` asks for a token, and the one of this process"
            " is missing or another. Set RAY_AUTH_TOKEN to what `ray get-auth-token` prints on the"
            " cluster's head, or copy its ~/.ray/auth_token here."
        ) from error
    if not found:
        return
    there, (ray_here, python_here) = json.loads(found), compute_version_info()
    try:
        check_version_info(there, "this machine")
    except RuntimeError as error:
        raise BadInput(
            f"the cluster at `RAY_ADDRESS={address}` runs Ray {there['ray_version']} on Python"
            f" {there['python_version']}, and this process has Ray {ray_here} on Python"
            f" {python_here}. Install the cluster's versions here, or run the search there: `ray"
            " job submit`."
        ) from error


def _nodes_to_await() -> int:
    text = os.environ.get("MTSEARCH_NODES", "1")
    if not text.isdecimal() or int(text) < 1:
        raise BadInput(
            f"`MTSEARCH_NODES` should be the number of nodes to wait for. Found {text!r}."
        )
    return int(text)


def _gather(wanted: int) -> None:
    """Wait until so many nodes have joined. Ray has no event for it that a driver can await."""
    end = time.monotonic() + GATHER
    while (there := sum(node["Alive"] for node in ray.nodes())) < wanted:
        if time.monotonic() > end:
            raise BadInput(
                f"the cluster has {there} of the {wanted} nodes that `MTSEARCH_NODES` asks for"
                f" after {GATHER:g} seconds. Look into the logs of those that are missing, or"
                " lower it."
            )
        time.sleep(0.5)


def fingerprint() -> str:
    """Of this mtsearch: its version, and eight digits that change with any of its source files."""
    folder, digest = Path(mtsearch.__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return f"{mtsearch.__version__} ({digest.hexdigest()[:8]})"


def _on_each(function: Callable[..., Any], *arguments: Any) -> Iterator[tuple[str, ray.ObjectRef]]:
    """Run a function on every node at once; yields the node's address and the answer's reference.
    Raises BadInput for a silent node."""
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    task = ray.remote(num_cpus=0, max_retries=0)(function)
    place = {node: NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes}
    asked = {
        task.options(scheduling_strategy=place[node]).remote(*arguments): node for node in nodes
    }
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=START)
    yield from ((nodes[asked[answer]], answer) for answer in answered)
    if silent:
        names = ", ".join(sorted(nodes[asked[answer]] for answer in silent))
        raise BadInput(
            f"node {names} of the cluster started no process in {START:g} seconds. Look into its"
            " logs, or take it out."
        )


def _same_code() -> None:
    """Every node can import the mtsearch of this process; elsewhere each trial would fail, or
    worse, train something else."""
    here = fingerprint()
    for name, answer in _on_each(fingerprint):
        try:
            there = ray.get(answer)
        except Exception as error:  # what Ray makes of it depends on where the import fails
            lines = (
                str(getattr(error, "cause", None) or error).strip().splitlines()
            )  # the cause keeps the traceback of the node
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


def _seen(paths: Sequence[str]) -> list[bool]:
    return [os.path.exists(path) for path in paths]


def check_shared(results: str | Path | None, **data: Path | None) -> None:
    """Every node sees the folder of the results and the places of the data (`root`, `store`); None
    is not asked for. Raises BadInput.

    Where a node does not, it would keep the states of its trials to itself, and fail each trial
    that another node has begun.
    """
    if sum(node["Alive"] for node in ray.nodes()) < 2:
        return
    with ExitStack() as stack:
        places = {
            f"data.{key}": (str(path), str(path)) for key, path in data.items() if path is not None
        }
        if results is not None:
            Path(results).mkdir(parents=True, exist_ok=True)
            # A file of this moment: another machine may well have a folder of the same name.
            marker = stack.enter_context(
                tempfile.NamedTemporaryFile(dir=results, prefix=".seen-by-all-nodes-")
            )
            places["results.root"] = (
                str(Path(results).resolve()),
                str(Path(marker.name).resolve()),
            )
        for name, answer in _on_each(_seen, [asked for _, asked in places.values()]):
            for (key, (path, _)), seen in zip(places.items(), ray.get(answer), strict=True):
                if not seen:
                    store = (
                        ", or an object store such as s3://BUCKET/PREFIX"
                        if key == "results.root"
                        else ""
                    )
                    raise BadInput(
                        f"node {name} of the cluster does not see {path}. Give `{key}` a folder"
                        f" that all nodes share{store}."
                    )
