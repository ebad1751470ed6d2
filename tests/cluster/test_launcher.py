"""launch/cluster_local.yaml on a separate head and worker: `ray up`, `ray job submit`, `ray
down`, from a laptop."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray

from mtsearch.runs.directory import RunDirectory
from tests.cluster.machines import NETWORK, Machine, install, machines, why_not

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[2]
HEAD, WORKER = f"{NETWORK}.11", f"{NETWORK}.12"
LONG = 600.0  # seconds; on an idle machine the longest command takes a tenth
# Another Ray cluster's process of the same user, as `ray stop` would see it.
NEIGHBOUR = ["bash", "-c", "exec -a 'raylet --session_dir=/tmp/ray/session_other' sleep 3600"]


def prepare(node: Machine) -> None:
    """What a machine that is not new has: the virtual environment with all that mtsearch needs, but
    not mtsearch. No download."""
    venv = node.home / "mtsearch-node"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (site,) = (venv / "lib").glob("python*/site-packages")
    (site / "everything_else.pth").write_text(f"{Path(ray.__file__).parents[1]}\n")
    text = (Path(sys.executable).parent / "ray").read_text()
    command = venv / "bin" / "ray"
    command.write_text(f"#!{venv}/bin/python\n" + text.split("\n", 1)[1])
    command.chmod(0o755)
    (node.home / ".bashrc").write_text("export PIP_NO_INDEX=1\n")


def settings(keys: Path) -> str:
    """The shipped file with its four placeholders filled in."""
    text = (ROOT / "launch" / "cluster_local.yaml").read_text()
    for blank, value in {
        "head_ip: HEAD": f"head_ip: {HEAD}",
        "[WORKER1, WORKER2]": f"[{WORKER}]",
        "ssh_user: USER": "ssh_user: root",
        "~/.ssh/id_ed25519": str(keys / "user"),
    }.items():
        assert text.count(blank) == 1, blank
        text = text.replace(blank, value)
    return text


class Launched:
    """A cluster that was brought up from the laptop's folder, where `dist` and `launch` stand as in
    the clone."""

    def __init__(self, folder: Path, laptop: Machine, nodes: list[Machine]) -> None:
        self.folder, self.laptop = folder, laptop
        self.head, self.worker = nodes
        self.results = folder / "results"
        for node in nodes:
            prepare(node)
        home = laptop.home
        wheel = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--no-deps",
            "--quiet",
            "--disable-pip-version-check",
            "-w",
            str(home / "dist"),
        ]
        subprocess.run([*wheel, str(ROOT)], check=True, capture_output=True)
        shutil.copytree(ROOT / "launch", home / "launch")
        (home / "launch" / "cluster_local.yaml").write_text(settings(folder / "keys"))
        self.ray("get-auth-token", "--generate")
        self.ray("up", "-y", "launch/cluster_local.yaml")
        self._forward = laptop.start(
            ["ray", "dashboard", "launch/cluster_local.yaml"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(
            lambda: (
                laptop.run(["bash", "-c", "exec 3<>/dev/tcp/localhost/8265"], 20).returncode == 0
            ),
            "the dashboard's port",
        )

    def ray(self, *words: str) -> str:
        """A command of Ray on the laptop."""
        done = self.laptop.run(["ray", *words], LONG, RAY_AUTH_MODE="token")
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    def submit(self, *words: str) -> str:
        return self.ray("job", "submit", "--address", "http://localhost:8265", *words)

    def there(self, node: Machine, pattern: str) -> bool:
        return node.run(["pgrep", "-f", "--", pattern], 20).returncode == 0


def until(true, what: str, seconds: float = LONG) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    install()
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("launcher")
    with machines(folder, 2, [Path(sys.prefix), Path(sys.base_prefix)]) as (laptop, nodes):
        yield Launched(folder, laptop, nodes)


def test_a_submitted_search_uses_both_nodes(launched):
    search = [
        "python",
        "-m",
        "mtsearch.run",
        "space=pareto_cm",
        "profile=quick",
        "search.trials=2",
        f"results.root={launched.results}",
    ]
    text = launched.submit("--", "env", "MTSEARCH_NODES=2", *search)
    run = RunDirectory(re.findall(r"^run: (.*)$", text, re.M)[-1])
    assert {row["trial"]: row["state"] for row in run.rows()} == dict.fromkeys(
        ["0000", "0001", "plain", "stl"], "done"
    )
    assert run.path.is_relative_to(launched.results)
    for node in (launched.head, launched.worker):
        logs = "/tmp/mtsearch-ray/session_latest/logs"
        assert node.run(
            ["sh", "-c", f"grep -l 'actor_name:TrialActor' {logs}/worker-*.out"], 20
        ).stdout, "no trial ran here"


FAULTS = """
import os, sys, time
from mtsearch.config.errors import BadInput
from mtsearch.execution.cluster import cluster
from mtsearch.execution.joining import fingerprint
begin = time.monotonic()
try:
    with cluster():
        print("joined", fingerprint())
except BadInput as error:
    print(f"[{time.monotonic() - begin:.0f} s] {error}")
"""


def test_missing_cluster_parts_are_named_in_one_sentence(launched):
    script = launched.folder / "faults.py"
    script.write_text(FAULTS)
    python = str(launched.head.home / "mtsearch-node" / "bin" / "python")

    def join(machine=launched.head, **variables):
        done = machine.run(
            [python, str(script)], LONG, **{"RAY_ADDRESS": f"{HEAD}:6379", **variables}
        )
        assert done.returncode == 0, done.stdout
        return done.stdout.splitlines()[-1]

    def after(seconds, sentence):
        return lambda text: (
            int(text[1:].split()[0]) <= seconds
            and re.fullmatch(r"\[\d+ s\] " + sentence, text) is not None
        )

    wrong = (
        "requires a token, and the one of this process is missing or differs. Set RAY_AUTH_TOKEN to"
        " what `ray get-auth-token` prints"
    )
    refused = after(30, rf"the cluster at `RAY_ADDRESS={HEAD}:6379` {wrong}.*")
    assert refused(join(RAY_AUTH_TOKEN="another"))
    assert refused(join(HOME="/tmp"))
    assert refused(join(HOME="/tmp", RAY_AUTH_MODE="token"))
    closed = join(RAY_ADDRESS=f"{HEAD}:6399")
    assert after(
        15,
        rf"the cluster that `RAY_ADDRESS={HEAD}:6399` names cannot be joined: .*refused\. Start"
        r" it, .*",
    )(closed)

    assert join().startswith("joined ")
    (there,) = (launched.worker.home / "mtsearch-node" / "lib").glob(
        "python*/site-packages/mtsearch"
    )
    source = (there / "run.py").read_text()
    (there / "run.py").write_text(source + "# changed here\n")
    try:
        other = join()
    finally:
        (there / "run.py").write_text(source)
    assert after(
        120,
        rf"node {WORKER} of the cluster has mtsearch 0\S+ \(\w+\), and this process 0\S+ \(\w+\)\."
        r" Install .*",
    )(other)
    there.rename(there.with_name("away"))
    try:
        none = join()
    finally:
        there.with_name("away").rename(there)
    assert after(120, rf"node {WORKER} of the cluster has no mtsearch\. Install this one .*")(none)


def test_results_visible_only_to_the_head_are_refused(launched):
    words = [
        "--",
        "python",
        "-m",
        "mtsearch.run",
        "space=pareto_cm",
        "profile=quick",
        "results.root=/tmp/only-here",
    ]
    done = launched.laptop.run(
        ["ray", "job", "submit", "--address", "http://localhost:8265", *words],
        LONG,
        RAY_AUTH_MODE="token",
    )
    assert done.returncode != 0
    assert (
        f"mtsearch.run: node {WORKER} of the cluster cannot access /tmp/only-here. Give"
        " `results.root` a folder that all" in done.stdout
    )


def test_working_dir_precedes_installed_packages(launched):
    clone = launched.laptop.home / "clone"
    for name in ("mtsearch", "search_spaces", "datasets"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    with open(clone / "mtsearch" / "run.py", "a") as source:
        source.write("# changed on the laptop\n")
    (clone / "join.py").write_text(FAULTS)
    python = str(launched.head.home / "mtsearch-node" / "bin" / "python")
    code = "from mtsearch.execution.joining import fingerprint; print(fingerprint())"
    installed = launched.head.run([python, "-c", code], LONG).stdout.splitlines()[-1]
    sent = launched.laptop.run(
        [sys.executable, "-c", code], LONG, PYTHONPATH=str(clone)
    ).stdout.splitlines()[-1]
    text = launched.submit("--working-dir", "clone", "--", "python", "join.py")
    assert f"joined {sent}\n" in text and sent != installed


def test_down_ends_only_its_own_cluster(launched):
    ours = "=/tmp/mtsearch-ray/session_"
    neighbours = [node.start(NEIGHBOUR) for node in (launched.head, launched.worker)]
    assert launched.there(launched.head, ours) and launched.there(launched.worker, ours)
    launched.ray("exec", "launch/cluster_local.yaml", "sh ~/mtsearch-node/stop_cluster.sh")
    launched.ray("down", "-y", "launch/cluster_local.yaml")
    assert not launched.there(launched.head, ours)
    until(
        lambda: (
            not launched.there(launched.worker, "raylet --raylet_socket_name=/tmp/mtsearch-ray")
        ),
        "the worker, which lost its head",
    )
    for node, neighbour in zip((launched.head, launched.worker), neighbours, strict=True):
        assert neighbour.poll() is None
        assert launched.there(node, "^raylet --session_dir=/tmp/ray/session_other")
