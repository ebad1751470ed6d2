"""launch/slurm.sbatch on a real SLURM with two nodes. Another job runs on the same nodes
during the tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from mtsearch.runs.directory import RunDirectory
from tests.cluster.slurm import NODES, Slurm, until

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "launch" / "slurm.sbatch"
LONG = 400  # seconds; a search takes a tenth of that on an idle machine


class Job:
    """A submitted search of two trials, one a node: one ends, and one waits with one report saved
    until `open` is called."""

    def __init__(self, slurm: Slurm, folder: Path, *words: str) -> None:
        self.slurm, self.folder = slurm, folder
        folder.mkdir()
        (folder / "space.yaml").write_text(yaml.safe_dump(self._space()))
        self.id = slurm.call(
            "sbatch",
            "--parsable",
            "--cpus-per-task=1",
            "--time=30",
            str(SCRIPT),
            "space=space.yaml",
            *words,
            cwd=folder,
            PYTHONPATH=str(ROOT),
            MTSEARCH_VENV=sys.prefix,
            MTSEARCH_RAY_SCRATCH=str(slurm.folder),
        )

    def _space(self) -> dict:
        gate = {
            "name": "gated",
            "folder": str(self.folder),
            "until": {"choice": [0, 2], "default": 0},
        }
        return {
            "name": "toy",
            "plugins": [str(Path(__file__).with_name("gate.py"))],
            "data": {
                "dataset": "cifar10_mnist",
                "limit": 100,
                "store": str(self.slurm.folder / "store"),
            },
            "search": {"sampler": "grid", "trials": 2},
            "objectives": ["val/image/error", "val/digit/error"],
            "delta_m": None,
            "trial": {
                "architecture": "hps",
                "backbone": "cm",
                "epochs": {"search": 3, "retrain": 0},
                "batch_size": 50,
                "balancing": gate,
            },
        }

    @property
    def run(self) -> RunDirectory:
        return RunDirectory(self.folder / "results" / "toy" / f"slurm-{self.id}")

    @property
    def output(self) -> str:
        return (self.folder / f"mtsearch-{self.id}.out").read_text()

    def open(self) -> None:
        (self.folder / "open").touch()

    def until_half_done(self) -> None:
        """One trial has ended, the other one waits."""

        def half_done() -> bool:
            assert self.slurm.state(self.id) in ("PENDING", "CONFIGURING", "RUNNING"), self.output
            if not (self.folder / "waiting").exists():
                return False
            return [len(t.reports) for t in self.run.state().sorted()] == [3, 1]

        until(half_done, LONG, f"job {self.id} is half done")

    def until_state(self, *states: str) -> str:
        until(
            lambda: self.slurm.state(self.id) in states,
            LONG,
            f"job {self.id} is {' or '.join(states)}",
        )
        return self.slurm.state(self.id)

    def until_ended(self) -> str:
        """The state, when its processes are gone."""
        state = self.until_state(
            "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PENDING"
        )
        until(
            lambda: not self.slurm.processes(self.id, str(self.scratch)),
            20,
            f"nothing of job {self.id} is left",
        )
        return state

    @property
    def scratch(self) -> Path:
        return self.slurm.folder / f"mts-{self.id}-"

    def leftovers(self) -> list[str]:
        """Processes, temporary files and secrets of the job."""
        files = [*self.slurm.folder.glob(f"mts-{self.id}-*"), *self.folder.glob(".mtsearch-*")]
        return [*self.slurm.processes(self.id, str(self.scratch)).values(), *map(str, files)]

    def attempts(self) -> list[int]:
        """How often each trial was started."""
        starts = [event["trial"] for event in self.run.events() if event["event"] == "start"]
        return [starts.count(name) for name in ("0000", "0001")]

    def finished(self) -> bool:
        trials = self.run.state().sorted()
        return [(t.state, len(t.reports), bool(t.test)) for t in trials] == [
            ("done", 3, bool(t.test)) for t in trials
        ] and len(trials) == 2


@pytest.fixture(scope="module")
def folder(slurm):
    return slurm.folder


@pytest.fixture(scope="module", autouse=True)
def neighbour(slurm, folder):
    """A job that is half done on both nodes before the others start, and goes on when they have
    ended."""
    job = Job(slurm, folder / "neighbour")
    job.until_half_done()
    return job


@pytest.fixture
def job(slurm, folder, request):
    return Job(slurm, folder / request.node.name)


def test_a_search_uses_both_nodes_and_cleans_up(slurm, folder, neighbour):
    first = 20000 + slurm.next_job() * 4
    with slurm.listener(NODES[0], first + 1) as stranger:  # a port that the job would use first
        job = Job(slurm, folder / "first")
        job.until_half_done()
        assert f"127.0.0.1:{first + 5} " in job.output
        assert slurm.state(neighbour.id) == slurm.state(job.id) == "RUNNING"
        token = job.folder / f".mtsearch-{job.id}" / "token"
        assert token.stat().st_mode & 0o777 == 0o600
        assert (
            token.read_text()
            != (neighbour.folder / f".mtsearch-{neighbour.id}" / "token").read_text()
        )
        job.open()
        assert job.until_ended() == "COMPLETED", job.output
        assert stranger.poll() is None
    assert job.finished() and "2 at once" in job.output
    assert sorted(path.name for path in job.folder.glob("on-*")) == [f"on-{node}" for node in NODES]
    assert job.leftovers() == []


def test_a_cancelled_job_continues_when_requeued(slurm, job, neighbour):
    job.until_half_done()
    slurm.call("scancel", job.id)
    assert job.until_ended() == "CANCELLED"
    assert job.leftovers() == []
    before = list(job.run.events())
    job.open()
    slurm.call("scontrol", "requeue", job.id)
    job.until_state("RUNNING")
    assert job.until_ended() == "COMPLETED", job.output
    # The other trial may have been restarted during the cancellation.
    assert job.finished() and job.attempts()[0] == 1
    assert list(job.run.events())[: len(before)] == before
    assert job.leftovers() == []


def test_a_job_requeues_itself_near_its_limit(slurm, job, neighbour):
    job.until_half_done()
    # The signal that SLURM sends for `--signal=B:USR1@120`.
    slurm.call("scancel", "--batch", "--signal=USR1", job.id)
    job.until_state("PENDING")
    assert job.leftovers() == []
    assert (
        "interrupted; everything finished is kept" in job.output
        and "is requeued and goes on with its run" in job.output
    )
    job.open()
    job.until_state("RUNNING")
    assert job.until_ended() == "COMPLETED", job.output
    assert job.finished() and job.attempts() == [1, 2]


def test_the_neighbour_was_never_disturbed(slurm, neighbour):
    assert slurm.state(neighbour.id) == "RUNNING"
    assert neighbour.attempts() == [1, 1]
    neighbour.open()
    assert neighbour.until_ended() == "COMPLETED", neighbour.output
    assert neighbour.finished() and neighbour.attempts() == [1, 1]
    assert [event["event"] for event in neighbour.run.events()].count("resume") == 0
    assert neighbour.leftovers() == []
