"""Checks that the Ray servers of a search are alive. Ray's own calls may wait without end, or end
the process after a minute, when the head or this machine's raylet has died."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray

from mtsearch.execution import compat

INTERVAL = 0.2  # seconds between checks
CONNECT_TIMEOUT = 3.0  # seconds
TIMEOUTS = 4  # time-outs in a row until a server counts as dead; one refusal is enough


class ClusterWatch:
    """Checks in a thread that Ray's head and this node's raylet accept connections. Where one does
    not, the reason is reported and the process ends with exit code 1.

    The process has to end at once: Ray's C++ code ends it without a message within seconds of
    the raylet's death, and until then Tune would record the trials of a dead node as failed.

    Args:
        report: is called with the reason, from the thread.
    """

    def __init__(self, report: Callable[[str], object]) -> None:
        self._report = report
        self._lock = threading.Lock()  # held while the end of the process is being reported
        self._left = threading.Event()
        self._servers = _servers()
        self._timeouts = dict.fromkeys(self._servers, 0)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch until the end of the context; an exception in it may be the first sign of a dead
        server."""
        thread = threading.Thread(target=self._run, name="mtsearch-cluster-watch", daemon=True)
        thread.start()
        try:
            yield
        except Exception:
            self._end_if_dead()
            raise
        finally:
            with self._lock:
                self._left.set()

    def _run(self) -> None:
        while not self._left.wait(INTERVAL):
            self._end_if_dead()

    def _end_if_dead(self) -> None:
        reason = self._check()
        if reason is None:
            return
        with self._lock:
            if not self._left.is_set():
                self._report(reason)
                end_process()

    def _check(self) -> str | None:
        for name, address in self._servers.items():
            try:
                socket.create_connection(address, timeout=CONNECT_TIMEOUT).close()
                self._timeouts[name] = 0
                continue
            except TimeoutError:
                self._timeouts[name] += 1
            except OSError:
                self._timeouts[name] = TIMEOUTS
            if self._timeouts[name] >= TIMEOUTS:
                host, port = address
                return f"{name} at {host}:{port} has died."
        return None


def _servers() -> dict[str, tuple[str, int]]:
    """The addresses of the head (Ray's GCS) and of this node's raylet."""
    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    here = ray.get_runtime_context().get_node_id()
    node = next(node for node in compat.alive_nodes() if node["NodeID"] == here)
    return {
        "Ray's head (its GCS server)": (host.strip("[]"), int(port)),
        "this machine's Ray node (its raylet)": (
            str(node["NodeManagerAddress"]),
            int(node["NodeManagerPort"]),
        ),
    }


def end_process() -> None:
    """End this process at once, with exit code 1: Ray's handlers at exit would wait for the dead
    cluster. The processes of a local cluster end with it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(1)
