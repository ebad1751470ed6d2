"""Starting Ray on this machine, or joining a running cluster."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import ray

from mtsearch.config.errors import Halt
from mtsearch.execution import compat
from mtsearch.execution.joining import join
from mtsearch.execution.session import prepare_token, session_folder
from mtsearch.jobs.interruption import handlers_kept

START_ATTEMPTS = 3  # to start a local cluster
OBJECT_STORE = 256 * 2**20  # bytes; trials exchange small mappings only

# Tune writes no files, logs and tables of its own: the run directory has them.
_SETTINGS = {
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
    """A connection: the resources of each node, by Ray's names, and how to reach the dashboard."""

    nodes: list[dict[str, float]]
    dashboard: str


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Connect to the cluster that `RAY_ADDRESS` names, or start one on the loopback interface that
    ends with the context.

    On a running cluster, `MTSEARCH_NODES` says how many nodes to wait for, because the number of
    trials at once is computed from the nodes. Ray's token authentication stays on. A connection
    that the caller already has is used and left open. Raises BadInput where a cluster cannot be
    joined, Halt where Ray does not start.
    """
    set_ray_defaults()
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    compat.hide_worker_deaths()
    if ray.is_initialized():
        yield _describe()
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    address = os.environ.get("RAY_ADDRESS")
    with ExitStack() as stack:
        with handlers_kept():
            if address:
                join(address)
            else:
                start(stack.enter_context(session_folder()))
        stack.callback(ray.shutdown)
        yield _describe()


def set_ray_defaults() -> None:
    """Set Ray's environment variables where the user has not."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)


def start(folder: Path, *, dashboard: bool | None = None) -> None:
    """Start a local cluster with its session in `folder`. Raises Halt where Ray does not start.

    Ray gives its processes half a minute, which a machine under load may exceed: the start is
    repeated then.

    Args:
        folder: see `mtsearch.execution.session.session_folder`.
        dashboard: whether to start the dashboard; None starts it where it is installed.
    """
    compat.bind_to_loopback()
    prepare_token()
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            ray.init(
                address="local",
                dashboard_host="127.0.0.1",
                include_dashboard=dashboard,
                object_store_memory=OBJECT_STORE,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=str(folder),
            )
            return
        except Exception as error:  # Ray raises plain ones here
            ray.shutdown()
            timed_out = "timed out" in str(error).lower()
            if timed_out and attempt < START_ATTEMPTS:
                continue
            reason = " ".join(str(error).split())[:300].rstrip(".")
            advice = "The machine is too busy; try again later." if timed_out else ""
            raise Halt(
                f"Ray did not start on this machine after {attempt} attempt{'s' * (attempt > 1)}:"
                f" {reason}. {advice}".rstrip()
            ) from error


def _describe() -> Cluster:
    nodes = [dict(node["Resources"]) for node in compat.alive_nodes()]
    url = compat.dashboard_url()
    if not url:
        return Cluster(nodes, "not running")
    port = url.rsplit(":", 1)[-1]
    token = (
        "its token is in RAY_AUTH_TOKEN, which you may set before a search"
        if "RAY_AUTH_TOKEN" in os.environ
        else "`ray get-auth-token` prints its token"
    )
    return Cluster(
        nodes, f"http://{url} (from elsewhere: ssh -L {port}:{url} THIS_MACHINE; {token})"
    )
