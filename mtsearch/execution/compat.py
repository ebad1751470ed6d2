"""Private APIs of Ray and Ray Tune, each in one function that says what it replaces.

`tests/execution/test_ray_compat.py` fails when a new version of Ray changes one of them.
"""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants, worker
from ray._private.accelerators import NvidiaGPUAcceleratorManager
from ray._private.authentication.authentication_token_setup import (
    enable_token_auth_by_default,
    ensure_token_if_auth_enabled,
    maybe_enable_token_auth_if_token_available,
)
from ray._private.ray_logging import stdout_deduplicator
from ray._private.services import get_ray_address_from_environment
from ray._private.utils import (  # type: ignore[attr-defined]
    check_version_info,
    compute_version_info,
    get_num_cpus,
    get_ray_address_file,
)
from ray._raylet import AuthenticationTokenLoader, GcsClient  # type: ignore[attr-defined]

# ---------------------------------------------------------------- starting Ray


def bind_to_loopback() -> None:
    """Make all servers of a local cluster listen on 127.0.0.1 only.

    Replaces an option of `ray.init`: Ray binds to loopback on desktop systems only. Elsewhere it
    reads a constant at import, and the environment in the processes that it starts.
    """
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False


def cpu_count() -> int:
    """The CPUs that `ray.init` would count on this machine. Replaces starting Ray to ask it."""
    return int(get_num_cpus())


def gpu_count() -> int:
    """The GPUs that `ray.init` would count on this machine. Replaces starting Ray to ask it."""
    return int(NvidiaGPUAcceleratorManager.get_current_node_num_accelerators())


def hide_worker_deaths() -> None:
    """Drop Ray's log lines about workers that died; the run prints a shorter one.

    Replaces a setting of Ray's log deduplicator, which reads its pattern from the environment at
    import.
    """
    stdout_deduplicator.skip_re = re.compile("A worker died or was killed")


def dashboard_url() -> str:
    """The address of the dashboard, empty where it does not run. Replaces the return value of
    `ray.init`, which a connection that exists already does not give."""
    return str(worker.get_dashboard_url() or "")  # type: ignore[no-untyped-call]


# ---------------------------------------------------------------- tokens


def has_token() -> bool:
    """Whether Ray finds a token in the environment or the user's token file. Replaces our own copy
    of Ray's search order."""
    loader = AuthenticationTokenLoader.instance()
    loader.reset_cache()
    return bool(loader.has_token(ignore_auth_mode=True))


def enable_token_auth() -> bool:
    """Whether a cluster that is started now uses token authentication, which is switched on where
    `RAY_AUTH_MODE` is not set. Replaces the same step of `ray.init`, which comes too late to give
    the cluster a token of its own."""
    return bool(enable_token_auth_by_default())


def require_token() -> None:
    """Raise `ray.exceptions.AuthenticationError` where authentication is on and no token is found.

    Replaces the same step of `ray.init`: `GcsClient` aborts the process without a token.
    """
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    ensure_token_if_auth_enabled(None, create_token_if_missing=False)


# ---------------------------------------------------------------- a running cluster


def address_on_this_machine() -> str:
    """``HOST:PORT`` of the cluster that ``RAY_ADDRESS=auto`` means. Raises ConnectionError where
    there is none. Replaces the same step of `ray.init`, which then ends the process where that
    cluster rejects its token."""
    return str(get_ray_address_from_environment("auto", None))


def address_file() -> Path:
    """The file in which Ray keeps the address of this machine's newest cluster. Replaces our own
    copy of its name, which depends on `RAY_TMPDIR`."""
    return Path(get_ray_address_file(None))


def listening_user(address: str) -> int | None:
    """The user id of the process of this machine that listens at ``HOST:PORT``; None where there
    is none, or where the system does not say."""
    host, _, port = address.rpartition(":")
    for family, table in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        try:
            own = {str(info[4][0]) for info in socket.getaddrinfo(host.strip("[]"), None, family)}
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        local = any(_is_local(name, family) for name in own)
        for fields in (line.split() for line in lines):
            listens = fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == int(port)
            if listens and local:
                return int(fields[7])
    return None


def _is_local(host: str, family: int) -> bool:
    """Whether an address is one of this machine, to which a socket can be bound."""
    try:
        with socket.socket(family) as probe:
            probe.bind((host, 0))
        return True
    except OSError:
        return False


def cluster_versions(address: str, timeout: float) -> dict[str, str] | None:
    """``{"ray_version", "python_version", ...}`` of the cluster at `address`; None where it does
    not answer. Replaces `ray.init`, which waits for minutes and raises many kinds of errors."""
    client = GcsClient(address=address)
    found = client.internal_kv_get(b"CLUSTER_METADATA", b"cluster", timeout=timeout)
    return json.loads(found) if found else None


def own_versions() -> tuple[str, str]:
    """The versions of Ray and Python of this process, as `cluster_versions` spells them."""
    ray_version, python_version = compute_version_info()  # type: ignore[no-untyped-call]
    return ray_version, python_version


def compatible(versions: dict[str, str]) -> bool:
    """Whether a driver of this process can join a cluster with `versions`. Replaces our own copy
    of Ray's rule."""
    try:
        check_version_info(versions, "this machine")
    except RuntimeError:
        return False
    return True


def alive_nodes() -> list[dict[str, Any]]:
    """The nodes that are alive, as `ray.nodes` describes them (which is public but untyped)."""
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


# ---------------------------------------------------------------- trials of Tune


def actor_of(trial: Any) -> Any:
    """The actor that runs a trial of Tune, None where it has none. Replaces a public handle: Tune's
    callbacks do not get one."""
    return trial.temporary_state.ray_actor


class TrialCleanup:
    """Empties ended trials of Tune: their jobs, results, averages and resource requests.

    Replaces an option of Tune, which keeps all of it until the end of a search: 10,000 trials
    would fill the driver's memory. The run directory has these data.
    """

    def __init__(self) -> None:
        self._request: Any = None

    def __call__(self, trial: Any) -> None:
        """Empty one trial. Tune reads none of this of an ended trial; what it would write at the
        end goes to a folder that is deleted."""
        trial.config.clear()
        trial.evaluated_params, trial._default_result_or_future = {}, None
        metadata = trial.run_metadata
        metadata.last_result = {"done": True}
        metadata.metric_analysis, metadata.metric_n_steps = {}, {}
        trial._state_json = metadata._cached_json = "{}"
        self._request = self._request or trial.placement_group_factory
        if trial.placement_group_factory == self._request:  # Tune made a copy for each trial
            trial.placement_group_factory = trial._default_placement_group_factory = self._request
