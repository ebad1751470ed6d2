"""A trial for the tests of the search: it computes nothing but behaves like one, with disasters on order."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import uuid
from pathlib import Path

from mtsearch.config.schema import DataConfig, TrialConfig

PLAN = "MTSEARCH_TEST_PLAN"  # names a folder; see `order`
ONCE = ("die", "stop", "kill", "interrupt")


def order(act: str, batch_size: int, report: int, pid: int = 0) -> None:
    """Have every trial of this batch size, when it makes this report, `raise`, report `nan`, kill its own process (`die`, once), stop it
    (`stop`, once), send SIGKILL (`kill`, once) or SIGINT (`interrupt`, once) to process `pid`, or `wait` until it is let go by `release`.
    """
    (Path(os.environ[PLAN]) / f"{act}-{batch_size}-{report}").write_text(str(pid))


def waits(batch_size: int, report: int) -> bool:
    """Whether a trial waits there."""
    return (Path(os.environ[PLAN]) / f"waits-{batch_size}-{report}").exists()


def release(batch_size: int, report: int) -> None:
    """Let a trial go on that waits."""
    (Path(os.environ[PLAN]) / f"wait-{batch_size}-{report}").unlink()


def ordered(act: str, batch_size: int, report: int) -> int:
    path = Path(os.environ[PLAN]) / f"{act}-{batch_size}-{report}"
    if not path.exists():
        return 0
    pid = int(path.read_text())
    if act in ONCE:
        path.unlink()
    return pid or 1


def obey(batch_size: int, report: int, world=None) -> None:
    """Of several ranks all raise, and the last one does the rest."""
    if ordered("raise", batch_size, report):
        raise ValueError("the trial\nwas told to raise")
    if world is not None and world.rank + 1 < world.size:
        return
    while ordered("wait", batch_size, report):
        (Path(os.environ[PLAN]) / f"waits-{batch_size}-{report}").touch()
        time.sleep(0.05)
    if ordered("die", batch_size, report):
        os.kill(os.getpid(), signal.SIGKILL)
    if ordered("stop", batch_size, report):
        os.kill(os.getpid(), signal.SIGSTOP)
    for act, sent in (("kill", signal.SIGKILL), ("interrupt", signal.SIGINT)):
        if pid := ordered(act, batch_size, report):
            os.kill(pid, sent)
            signal.pause()  # nothing more is reported: this process ends with its driver


class FakeTrial:
    def __init__(self, config: TrialConfig, data: DataConfig, world=None) -> None:
        self.config, self.data, self.world = config, data, world
        self.reports: list[dict] = []
        self.x = float(config.seed)
        self.total = config.epochs.search + config.epochs.retrain

    @property
    def finished(self) -> bool:
        return len(self.reports) >= self.total

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
            "val/image/error": float("nan") if ordered("nan", size, number) else 60 - 3 * size + self.x / number,
            "val/digit/error": 10 + 2 * (size % 3) + self.x,
            "model/density": 1 / size,
            "process": os.getpid(),
        }
        self.reports.append(report)
        return dict(report)

    def save(self, folder: Path) -> None:
        state = {"config": self.config.model_dump(mode="json"), "x": self.x, "reports": self.reports}
        fresh = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
        fresh.mkdir(parents=True)
        (fresh / "state.json").write_text(json.dumps(state))
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)

    @staticmethod
    def saved(folder: Path) -> bool:
        return (folder / "state.json").exists()

    @classmethod
    def restore(cls, folder: Path, data: DataConfig, world=None) -> FakeTrial:
        state = json.loads((folder / "state.json").read_text())
        trial = cls(TrialConfig.model_validate(state["config"]), data, world)
        trial.x, trial.reports = state["x"], state["reports"]
        return trial

    def evaluate(self, split: str) -> dict:
        obey(self.config.batch_size, 99)
        return {f"{split}/{key}": self.selected[f"val/{key}"] + 1 for key in ("image/error", "digit/error")}

    def close(self) -> None:
        self.reports = []
