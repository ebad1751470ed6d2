"""Machines for tests of the launcher: namespaces on this host, isolated from other Ray
clusters.

One namespace is the laptop and contains one namespace per node: processes (so that `ray
stop` sees its own machine only), network (so that every node has an address and all of its ports)
and mounts (a home, `/tmp` and `/run` of its own). When the laptop's first process ends, the kernel
ends everything inside.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

TOOLS = ("unshare", "nsenter", "ip", "mount", "/usr/sbin/sshd", "ssh", "ssh-keygen", "rsync")
NETWORK = "10.78.0"  # seen inside the laptop's namespace only
SSHD = """ListenAddress {address}
HostKey {keys}/host
AuthorizedKeysFile {keys}/user.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
"""


def install() -> None:
    """Install missing programs if possible; `why_not` reports the result."""
    if os.geteuid() == 0 and any(shutil.which(tool) is None for tool in TOOLS):
        subprocess.run(["sh", str(Path(__file__).with_name("install.sh"))], capture_output=True)


def why_not() -> str | None:
    """What this host lacks, as one sentence; None if machines can be created."""
    if os.geteuid() != 0:
        return "namespaces and sshd need root: run `make test-cluster` as root"
    for tool in TOOLS:
        if shutil.which(tool) is None:
            return (
                f"`{tool}` is missing: apt-get install openssh-server openssh-client rsync iproute2"
                " util-linux"
            )
    tried = subprocess.run(
        [
            "unshare",
            "--mount",
            "--pid",
            "--net",
            "--fork",
            "ip",
            "link",
            "add",
            "name",
            "lan",
            "type",
            "bridge",
        ],
        capture_output=True,
    )
    return (
        None
        if tried.returncode == 0
        else f"this host does not allow namespaces: {tried.stderr.decode().strip()}"
    )


class Machine:
    """A namespace with a first process; what `run` starts sees only what is inside."""

    def __init__(
        self, name: str, folder: Path, keep: list[Path], inside: Machine | None = None
    ) -> None:
        self.home = folder / name
        self.home.mkdir()
        self._inside = inside
        passwd = folder / f"{name}.passwd"
        passwd.write_text(
            f"root:x:0:0:root:{self.home}:/bin/bash\nsshd:x:1:65534::/run/sshd:/usr/sbin/nologin\n"
        )
        binds = "\n".join(
            f"mkdir -p {path} && mount --bind /mnt/host{path} {path}"
            for path in keep
            if path.is_relative_to("/tmp")
        )
        begin = f"""set -e
            mount -t tmpfs tmpfs /mnt && mkdir -p /mnt/host/tmp && mount --rbind /tmp /mnt/host/tmp
            mount -t tmpfs -o mode=1777 tmpfs /tmp
            {binds}
            umount -R /mnt/host/tmp && mount --bind {passwd} /etc/passwd
            mount -t tmpfs tmpfs /run && mkdir /run/sshd
            ip link set lo up
            echo ready && exec sleep infinity"""
        make = [
            "unshare",
            "--mount",
            "--pid",
            "--net",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "bash",
            "-c",
            begin,
        ]
        self._process = subprocess.Popen(
            self._enter(inside) + make, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout and self._process.stdout.readline() == "ready\n"
        self.pid = _first_below(self._process.pid)

    @staticmethod
    def _enter(machine: Machine | None) -> list[str]:
        return (
            []
            if machine is None
            else [
                "nsenter",
                "--target",
                str(machine.pid),
                "--mount",
                "--pid",
                "--net",
                f"--wd={machine.home}",
            ]
        )

    def command(self, words: list[str]) -> list[str]:
        return self._enter(self) + words

    def environment(self, more: Mapping[str, str] = {}) -> dict[str, str]:
        """No variable of the test's own but what numerical libraries need; the interpreter's folder
        first on the path."""
        own = {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        return {
            **own,
            "HOME": str(self.home),
            "USER": "root",
            "PATH": path,
            "LANG": "C.UTF-8",
            "RAY_USAGE_STATS_ENABLED": "0",
            **more,
        }

    def start(self, words: list[str], **more: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(words), env=self.environment(), cwd=self.home, text=True, **more
        )  # type: ignore[call-overload]

    def run(
        self, words: list[str], timeout: float, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(words),
            env=self.environment(variables),
            cwd=self.home,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def end(self) -> None:
        # --kill-child: the namespace's first process goes with it, and all inside with that
        self._process.kill()
        self._process.wait()


def _first_below(pid: int) -> int:
    """The namespace's first process, seen from here: the last one in the chain nsenter, unshare,
    bash."""
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        pid = int(children[0])
    return pid


@contextlib.contextmanager
def machines(folder: Path, nodes: int, keep: list[Path]) -> Iterator[tuple[Machine, list[Machine]]]:
    """A laptop and `nodes` machines `NETWORK`.11, .12, ... that its key opens by ssh. `folder` is
    shared by all of them."""
    keys = folder / "keys"
    keys.mkdir()
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True
        )
    keep = [folder, *keep]
    laptop = Machine("laptop", folder, keep)
    try:
        bridge = (
            f"ip link add name lan type bridge && ip addr add {NETWORK}.1/24 dev lan && ip link set"
            " lan up"
        )
        subprocess.run(laptop.command(["sh", "-c", bridge]), check=True)
        made = []
        for number in range(1, nodes + 1):
            node = Machine(f"node{number}", folder, keep, inside=laptop)
            address = f"{NETWORK}.{10 + number}"
            link = f"ip link add v{number} type veth peer name eth0 netns /proc/{node.pid}/ns/net"
            subprocess.run(
                ["nsenter", "--target", str(laptop.pid), "--net", "sh", "-c", link], check=True
            )
            subprocess.run(
                laptop.command(
                    ["sh", "-c", f"ip link set v{number} master lan && ip link set v{number} up"]
                ),
                check=True,
            )
            up = (
                f"ip addr add {address}/24 dev eth0 && ip link set eth0 up && ip route add default"
                f" via {NETWORK}.1"
            )
            subprocess.run(node.command(["sh", "-c", up]), check=True)
            settings = folder / f"sshd{number}"
            settings.write_text(SSHD.format(address=address, keys=keys))
            with open(folder / f"sshd{number}.log", "w") as log:
                node.start(["/usr/sbin/sshd", "-D", "-e", "-f", str(settings)], stderr=log)
            made.append(node)
        yield laptop, made
    finally:
        laptop.end()
