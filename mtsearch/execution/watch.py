"""Checks that the Ray servers of a search are alive. Ray's own calls may wait without end, or end
the process after a minute, when the head or this machine's raylet has died."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray

from mtsearch.execution import compat

INTERVAL = 0.2  # seconds between checks
CONNECT_TIMEOUT = 3.0  # seconds
TIMEOUTS = 4  # time-outs in a row until a server counts as dead
REFUSED_FOR = 0.2  # seconds that it refuses connections, in two or more attempts, until it does
# errors of this process or machine, which say nothing about the server
_OWN = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)


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
        self._servers = [Server(name, address) for name, address in _servers().items()]

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
            if any(server.suspect for server in self._servers):
                time.sleep(REFUSED_FOR)
                self._end_if_dead()
            raise
        finally:
            with self._lock:
                self._left.set()

    def _run(self) -> None:
        while not self._left.wait(INTERVAL):
            self._end_if_dead()

    def _end_if_dead(self) -> None:
        reason = next((server.reason for server in self._servers if server.is_dead()), None)
        if reason is None:
            return
        with self._lock:
            if not self._left.is_set():
                try:
                    self._report(reason)
                finally:
                    end_process()


class Server:
    """A server at an address, and what the attempts to connect to it have shown.

    It is dead once it has refused connections for `REFUSED_FOR` seconds without accepting one, or
    after `TIMEOUTS` time-outs in a row. A single refusal is no proof: a server with a full queue
    of connections may refuse one.

    Args:
        name: for the reason.
        address: host and port.
    """

    def __init__(self, name: str, address: tuple[str, int]) -> None:
        self._address = address
        self._timeouts = 0
        self._refused_since: float | None = None
        self.reason = f"{name} at {address[0]}:{address[1]} has died."

    @property
    def suspect(self) -> bool:
        """Whether the last attempt was refused."""
        return self._refused_since is not None

    def is_dead(self) -> bool:
        """Try to connect, and return whether the server is dead."""
        now = time.monotonic()
        try:
            socket.create_connection(self._address, timeout=CONNECT_TIMEOUT).close()
        except TimeoutError:
            self._timeouts += 1
            return self._timeouts >= TIMEOUTS
        except OSError as error:
            if error.errno in _OWN:
                return False
            if self._refused_since is None:
                self._refused_since = now
            return now - self._refused_since >= REFUSED_FOR
        self._timeouts, self._refused_since = 0, None
        return False


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
