"""A trial that computes nothing but behaves like one: deterministic, with a state, and disasters on order."""

from __future__ import annotations

import json
import os
import shutil
import signal
import uuid
from pathlib import Path

from mtsearch.config.schema import DataConfig, TrialConfig

PLAN = "MTSEARCH_TEST_PLAN"  # a folder; see `order`


def order(folder: Path, act: str, batch_size: int, report: int, pid: int = 0) -> None:
    """Have every trial of this batch size `raise`, report `nan`, or kill its own process (`die`, once) or process `pid` (`kill`, `interrupt`; once)."""
    (folder / f"{act}-{batch_size}-{report}").write_text(str(pid))


class FakeTrial:
    def __init__(self, config: TrialConfig, data: DataConfig) -> None:
        self.config, self.data = config, data
        self.reports: list[dict] = []
        self.x = float(config.seed)
        self.total = config.epochs.search + config.epochs.retrain

    @property
    def finished(self) -> bool:
        return len(self.reports) >= self.total

    @property
    def selected(self) -> dict:
        return min(self.reports, key=lambda r: (r["val/image/error"], r["report"]))

    def __next__(self) -> dict:
        number = len(self.reports) + 1
        if self._ordered("raise", number):
            raise ValueError("the fake\nwas told to raise")
        if self._ordered("die", number):
            os.kill(os.getpid(), signal.SIGKILL)
        for act, sent in (("kill", signal.SIGKILL), ("interrupt", signal.SIGINT)):
            if pid := self._ordered(act, number):
                os.kill(pid, sent)
                signal.pause()  # nothing more is reported: the cluster ends this process with its driver
        self.x = (self.x * 1.7 + self.config.optimizer.lr * self.config.batch_size + 0.31) % 1.0
        image = float("nan") if self._ordered("nan", number) else 60 - 3 * self.config.batch_size + self.x / number
        self.reports.append(
            {
                "report": number,
                "phase": "train",
                "epoch": number,
                "val/image/error": image,
                "val/digit/error": 10 + 2 * self.config.batch_size + self.x,
                "model/density": 1 / self.config.batch_size,
                "cost/seconds": 0.0,
            }
        )
        return dict(self.reports[-1])

    def _ordered(self, act: str, number: int) -> int:
        path = Path(os.environ[PLAN]) / f"{act}-{self.config.batch_size}-{number}"
        if not path.exists():
            return 0
        pid = int(path.read_text())
        if act in ("die", "kill", "interrupt"):
            path.unlink()
        return pid or 1

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
    def restore(cls, folder: Path, data: DataConfig) -> FakeTrial:
        state = json.loads((folder / "state.json").read_text())
        trial = cls(TrialConfig.model_validate(state["config"]), data)
        trial.x, trial.reports = state["x"], state["reports"]
        return trial

    def evaluate(self, split: str) -> dict:
        return {f"{split}/{key}": self.selected[f"val/{key}"] + 1 for key in ("image/error", "digit/error")}

    def close(self) -> None:
        self.reports = []
