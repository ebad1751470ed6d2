"""A trial for the tests of the search: it computes nothing, reports like a real trial, and causes
faults on order."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path

from mtsearch.config.errors import BadInput
from mtsearch.config.files import write_atomic
from mtsearch.config.schema import DataConfig, TrialConfig

PLAN = "MTSEARCH_TEST_PLAN"  # names a folder; see `order`
ONCE = ("die", "stop", "kill", "interrupt", "fill", "oom")


def order(act: str, batch_size: int, report: int, pid: int = 0) -> None:
    """Order a fault of every trial with this batch size at this report (0: when it is created, 99:
    when it is tested).

    `raise`; report `nan` or an `object`; `exit`; exhaust the address space (`memory`); kill its own
    process (`die`, once) or stop it (`stop`, once); be killed by the kernel for lack of memory
    (`oom`, once, in the memory cgroup of the test); fill the disk with its checkpoint (`fill`,
    once); send SIGKILL (`kill`, once) or SIGINT (`interrupt`, once) to process `pid`; or `wait`
    until `release`.
    """
    (Path(os.environ[PLAN]) / f"{act}-{batch_size}-{report}").write_text(str(pid))


def waits(batch_size: int, report: int) -> int | None:
    """The process id of the trial that waits at this report; None if there is none."""
    path = Path(os.environ[PLAN]) / f"waits-{batch_size}-{report}"
    return int(path.read_text() or 0) or None if path.exists() else None


def release(batch_size: int, report: int) -> None:
    """Continue a waiting trial."""
    (Path(os.environ[PLAN]) / f"wait-{batch_size}-{report}").unlink()


def until(happened, seconds=180):
    """Wait for an event."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


def ordered(act: str, batch_size: int, report: int) -> int:
    path = Path(os.environ[PLAN]) / f"{act}-{batch_size}-{report}"
    try:
        pid = int(path.read_text())
    except FileNotFoundError:
        return 0
    if act in ONCE:
        path.unlink()
    return pid or 1


def obey(batch_size: int, report: int, world=None) -> None:
    """Carry out the orders. All ranks raise; the other faults are caused by the last rank."""
    if ordered("raise", batch_size, report):
        raise ValueError("the trial\nwas ordered to raise")
    if ordered("exit", batch_size, report):
        raise SystemExit(3)
    if ordered("memory", batch_size, report):
        exhaust()
    if world is not None and world.rank + 1 < world.size:
        return
    if ordered("wait", batch_size, report):
        (Path(os.environ[PLAN]) / f"waits-{batch_size}-{report}").write_text(str(os.getpid()))
    while ordered("wait", batch_size, report):
        time.sleep(0.05)
    if ordered("die", batch_size, report):
        os.kill(os.getpid(), signal.SIGKILL)
    if cgroup := ordered("oom", batch_size, report):
        outgrow(Path(f"/sys/fs/cgroup/memory/mtsearch-{cgroup}"))
    if ordered("stop", batch_size, report):
        os.kill(os.getpid(), signal.SIGSTOP)
    for act, sent in (("kill", signal.SIGKILL), ("interrupt", signal.SIGINT)):
        if pid := ordered(act, batch_size, report):
            if pid == os.getpid():
                # To this thread; `os.kill` signals any thread of the process.
                signal.raise_signal(sent)
            os.kill(pid, sent)
            signal.pause()  # no further report: this process ends with its driver


def exhaust() -> None:
    """Ask for more memory than this process may have."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + 64 * 2**20, before[1]))
    try:
        bytearray(2**30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def outgrow(cgroup: Path) -> None:
    """Use more memory than the cgroup has; only this process is in it."""
    (cgroup / "cgroup.procs").write_text(str(os.getpid()))
    kept = [bytearray(os.urandom(2**20)) * 16 for _ in range(64)]
    raise AssertionError(f"{len(kept)} blocks were granted")


def fill(folder: Path) -> None:
    """Fill the file system of a folder."""
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


class FakeTrial:
    def __init__(self, config: TrialConfig, data: DataConfig, world=None) -> None:
        self.config, self.data, self.world = config, data, world
        self.reports: list[dict] = []
        self.x = float(config.seed)
        self.total = config.epochs.search + config.epochs.retrain
        obey(config.batch_size, 0, world)

    @property
    def finished(self) -> bool:
        return len(self.reports) >= self.total

    @property
    def total_epochs(self) -> int:
        return self.total

    @property
    def selected(self) -> dict:
        return self.reports[-1]

    def __next__(self) -> dict:
        number, size = len(self.reports) + 1, self.config.batch_size
        obey(size, number, self.world)
        self.x = (self.x * 1.7 + self.config.optimizer.lr * size + 0.31) % 1.0
        report = {
            "report": number,
            "phase": "train",
            "epoch": number,
            "val/image/error": (
                float("nan") if ordered("nan", size, number) else 60 - 3 * size + self.x / number
            ),
            "val/digit/error": 10 + 2 * (size % 3) + self.x,
            "model/density": 1 / size,
            "process": os.getpid(),
        }
        if ordered("object", size, number):
            report["val/digit/error"] = self
        self.reports.append(report)
        return dict(report)

    def save(self, folder: Path, owner=None) -> None:
        state = {
            "owner": owner and owner.stored(),
            "config": self.config.model_dump(mode="json"),
            "x": self.x,
            "reports": self.reports,
        }
        if ordered("fill", self.config.batch_size, len(self.reports)):
            fill(folder.parents[3])
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "state.json", json.dumps(state))

    @staticmethod
    def saved(folder: Path) -> bool:
        return (folder / "state.json").exists()

    @classmethod
    def restore(cls, folder: Path, data: DataConfig, world=None, owner=None) -> FakeTrial:
        state = json.loads((folder / "state.json").read_text())
        if owner is not None and state["owner"] != owner.stored():
            raise BadInput(f"the checkpoint {folder} is another trial's")
        trial = cls(TrialConfig.model_validate(state["config"]), data, world)
        trial.x, trial.reports = state["x"], state["reports"]
        return trial

    def evaluate(self, split: str, tables: dict | None = None) -> dict:
        obey(self.config.batch_size, 99)
        return {
            f"{split}/{key}": self.selected[f"val/{key}"] + 1
            for key in ("image/error", "digit/error")
        }

    def close(self) -> None:
        self.reports = []
        if ordered("close", self.config.batch_size, 0):
            raise ValueError("it was ordered to raise at its end")
