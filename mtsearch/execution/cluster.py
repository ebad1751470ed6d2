"""Starting Ray on this machine, or joining a cluster that runs."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray
from ray._private import ray_constants, worker

from mtsearch.execution.joining import join

STARTS = 3  # attempts to start a local cluster
OBJECT_STORE = 256 * 2**20  # bytes; trials exchange small mappings only

_SETTINGS = {  # Tune's own files, logs and tables: the run directory has better ones
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": str(10**9),
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_gcs_server_port_wait_time_s": "120",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@dataclass(frozen=True)
class Cluster:
    """A connection: what each node has and how the dashboard is reached."""

    nodes: list[dict[str, float]]
    dashboard: str


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Connect to the cluster that `RAY_ADDRESS` names, or start one on the loopback interface that
    ends with the context.

    Of a running cluster, `MTSEARCH_NODES` says how many nodes to wait for: the number of trials at
    once is computed from what is there. Ray's token authentication stays on. A connection that the
    caller already has is used and left open.
    """
    set_ray_defaults()
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    worker.stdout_deduplicator.skip_re = re.compile(
        "A worker died or was killed"
    )  # the manager says it shorter
    if ray.is_initialized():
        yield _describe()
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    address = os.environ.get("RAY_ADDRESS")
    if address:
        join(address)
    else:
        start()
    try:
        yield _describe()
    finally:
        ray.shutdown()


def set_ray_defaults() -> None:
    """Set Ray's environment variables, as far as the user has not."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)


def start(dashboard: bool | None = None) -> None:
    """Start a local cluster; with its dashboard, unless False, if that can be had.

    Ray gives its processes half a minute, which a machine under load may exceed: then it is tried
    again.
    """
    bind_to_loopback()
    for left in reversed(range(STARTS)):
        try:
            ray.init(
                address="local",
                dashboard_host="127.0.0.1",
                include_dashboard=dashboard,
                object_store_memory=OBJECT_STORE,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
            return
        except Exception as error:  # Ray raises plain ones here
            ray.shutdown()
            if not left or "timed out" not in str(error).lower():
                raise


def bind_to_loopback() -> None:
    """Have all servers of a local cluster listen on 127.0.0.1 only. Ray does so by itself on
    desktop systems; elsewhere it must be told, by a constant that it reads when it is imported, and
    by the environment for its processes."""
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False


def _describe() -> Cluster:
    nodes = [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]
    url = worker.get_dashboard_url()
    if not url:
        return Cluster(nodes, "not running")
    port = url.rsplit(":", 1)[-1]
    how = (
        f"http://{url} (from elsewhere: ssh -L {port}:{url} THIS_MACHINE; `ray get-auth-token`"
        " prints its token)"
    )
    return Cluster(nodes, how)
