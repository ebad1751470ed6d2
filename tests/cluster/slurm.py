"""A real SLURM with two nodes on this machine: a controller and two daemons, each in its own
network namespace."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

NODES = ("n1", "n2")
PREFIX = "mts"  # of all interfaces and namespaces; the test's process id follows
CONF = """
ClusterName=mtsearch
SlurmctldHost={host}({network}.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
MailProg=/bin/true
KillWait=30
ReturnToService=2
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """Two nodes, `n1` and `n2`, of two CPUs each. Use it as a context; `environment` is what its
    commands need.

    Namespaces, interfaces, subnet, ports and folders belong to this process alone, so that two of
    these do not conflict on one machine.
    """

    def __init__(self) -> None:
        self._exit = contextlib.ExitStack()
        self._daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Slurm:
        with contextlib.ExitStack() as failed:
            failed.callback(self.__exit__)
            self._up()
            failed.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._exit.close()

    def _up(self) -> None:
        remove_networks_of_the_dead()
        # Short: Ray's sockets lie below it.
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
        self._exit.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._network()
        host = socket.gethostname().split(".")[0]
        conf = CONF.format(
            host=host, network=self.network, folder=self.folder, port=_port(f"{self.network}.1")
        )
        for number, node in enumerate(NODES, start=11):
            conf += (
                f"NodeName={node} NodeHostname={host} NodeAddr={self.network}.{number} Port=17001"
                " CPUs=2 RealMemory=8000\n"
            )
        (self.folder / "slurm.conf").write_text(conf)
        (self.folder / "state").mkdir()
        self.folder.chmod(0o755)  # munge requires a reachable socket
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SLURM", "SBATCH", "RAY_", "MTSEARCH_"))
        }
        self.environment = {**kept, "SLURM_CONF": str(self.folder / "slurm.conf")}
        self._exit.callback(self._stop_daemons)
        files = {
            "key-file": "key",
            "socket": "sock",
            "pid-file": "pid",
            "log-file": "log",
            "seed-file": "seed",
        }
        self._daemon(
            "munged",
            "--foreground",
            *(f"--{option}={self.folder}/munge.{ending}" for option, ending in files.items()),
        )
        until(lambda: (self.folder / "munge.sock").exists(), 30, "munged makes its socket")
        self._daemon("slurmctld", "-D", "-c")
        # `ip netns exec` would hide /sys/fs/cgroup, without which slurmd does not start.
        for node in NODES:
            self._daemon(
                "nsenter", f"--net=/var/run/netns/{self.name}{node}", "slurmd", "-D", "-N", node
            )
        until(
            lambda: self.call("sinfo", "-h", "-N", "-o", "%T").split() == ["idle"] * len(NODES),
            60,
            "both nodes are idle",
        )

    def _network(self) -> None:
        """A bridge on this machine, and behind it a namespace with an address for each node."""
        self.name = f"{PREFIX}{os.getpid()}"
        taken = _ip("-4", "-o", "addr")
        start = os.getpid()
        candidates = (f"10.{128 + (n // 250) % 100}.{n % 250}" for n in range(start, start + 25000))
        self.network = next(network for network in candidates if f" {network}." not in taken)
        bridge = f"{self.name}b"
        _ip("link", "add", bridge, "type", "bridge")
        self._exit.callback(_ip, "link", "delete", bridge)
        _ip("addr", "add", f"{self.network}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for number, node in enumerate(NODES, start=11):
            space, wire = f"{self.name}{node}", f"{self.name}{node[1:]}"
            _ip("netns", "add", space)
            self._exit.callback(_ip, "netns", "delete", space)
            _ip("link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", wire, "master", bridge, "up")
            _ip("-n", space, "addr", "add", f"{self.network}.{number}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")
            _ip("-n", space, "link", "set", "lo", "up")

    def _daemon(self, *command: str) -> None:
        with (self.folder / f"{command[0]}-{len(self._daemons)}.out").open("wb") as out:
            process = subprocess.Popen(
                command,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                env=self.environment,
                start_new_session=True,
            )
        self._daemons.append(process)

    def _stop_daemons(self) -> None:
        """End the jobs, then the daemons, then the processes of jobs that a daemon could not
        end."""
        with contextlib.suppress(Exception):
            self.call("scancel", "--user=root")
            until(lambda: not self.call("squeue", "-h"), 60, "all jobs have ended")
        for process in reversed(self._daemons):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # ------------------------------------------------------------ jobs

    def call(self, *command: str, cwd: Path | None = None, **environment: str) -> str:
        """What a command of SLURM prints. Raises CalledProcessError."""
        done = subprocess.run(
            command,
            env={**self.environment, **environment},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """Of a job: PENDING, RUNNING, COMPLETING, COMPLETED, CANCELLED, FAILED, ..."""
        found = re.search(r"JobState=(\w+)", self.call("scontrol", "show", "job", job))
        assert found is not None
        return found[1]

    def next_job(self) -> int:
        """The number that the next job will have."""
        found = re.search(r"NEXT_JOB_ID\s*=\s*(\d+)", self.call("scontrol", "show", "config"))
        assert found is not None
        return int(found[1])

    @contextlib.contextmanager
    def listener(self, node: str, port: int) -> Iterator[subprocess.Popen[str]]:
        """A process that listens on a port of a node."""
        code = (
            f"import socket; server = socket.create_server(('', {port})); print(flush=True);"
            " server.accept()"
        )
        command = ["nsenter", f"--net=/var/run/netns/{self.name}{node}", sys.executable, "-c", code]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None and process.stdout.readline() == "\n"  # it listens
            yield process
        finally:
            process.kill()
            process.communicate()

    def processes(self, job: str | None = None, temporary: str | None = None) -> dict[int, str]:
        """Pid and name of the processes that belong to a job of this SLURM (to any, where none is
        given): by the variables that SLURM gives them or by a temporary folder that they were
        started with or hold open."""
        marks = [
            f"SLURM_CONF={self.environment['SLURM_CONF']}\0".encode(),
            f"SLURM_JOB_ID={job}\0".encode() if job else b"SLURM_JOB_ID=",
        ]
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):  # it has just ended
                given = (entry / "environ").read_bytes() + b"\0"
                words = (entry / "cmdline").read_bytes()
                ours = all(mark in given for mark in marks)
                if temporary is not None and not ours:
                    held = [os.readlink(link) for link in (entry / "fd").iterdir()]
                    ours = temporary.encode() in words or any(temporary in path for path in held)
                if ours and (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                    found[int(entry.name)] = words.replace(b"\0", b" ").decode(errors="replace")[
                        :200
                    ]
        return found


def until(happened: Callable[[], object], seconds: float, what: str) -> None:
    """Poll until a condition is met. Raises AssertionError after the given seconds."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.2)


def remove_networks_of_the_dead() -> None:
    """Delete namespaces and bridges of test runs that were killed: their names contain the id of a
    process that does not exist."""
    for name in re.findall(rf"^({PREFIX}\d+n[12])\b", _ip("netns", "list"), re.MULTILINE):
        if not Path(f"/proc/{name[len(PREFIX) : -2]}").exists():
            _ip("netns", "delete", name)
    for name in re.findall(rf" ({PREFIX}\d+b):", _ip("-o", "link", "show", "type", "bridge")):
        if not Path(f"/proc/{name[len(PREFIX) : -1]}").exists():
            _ip("link", "delete", name)


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout


def _port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
