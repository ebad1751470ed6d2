"""A trial for `scale.py` that computes nothing: three reports of twenty metrics, drawn from its
configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REPORTS = 3


class TrivialTrial:
    """Two objectives that trade off along its preference, and the metrics that a real report has
    besides."""

    def __init__(self, config: Any, data: Any, world: Any = None) -> None:
        self.config = config
        self.reports: list[dict[str, Any]] = []

    @property
    def finished(self) -> bool:
        """After three reports."""
        return len(self.reports) >= REPORTS

    @property
    def total_epochs(self) -> int:
        """As many as reports."""
        return REPORTS

    @property
    def selected(self) -> dict[str, Any]:
        """The last report."""
        return self.reports[-1]

    def __next__(self) -> dict[str, Any]:
        report = report_of(self.config.model_dump(), len(self.reports) + 1)
        self.reports.append(report)
        return dict(report)

    def save(self, folder: Path) -> None:
        """The number of reports; they can be made again."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {"config": self.config.model_dump(mode="json"), "reports": len(self.reports)}
        (folder / "state.json").write_text(json.dumps(state))

    @staticmethod
    def saved(folder: Path) -> bool:
        """Whether a state is there."""
        return (folder / "state.json").exists()

    @classmethod
    def restore(cls, folder: Path, data: Any, world: Any = None) -> TrivialTrial:
        """Go on from a state."""
        from mtsearch.config.schema import TrialConfig

        state = json.loads((folder / "state.json").read_text())
        trial = cls(TrialConfig.model_validate(state["config"]), data)
        trial.reports = [report_of(state["config"], n + 1) for n in range(state["reports"])]
        return trial

    def evaluate(self, split: str, tables: Any = None) -> dict[str, Any]:
        """As validated."""
        return {
            f"{split}/{task}/error": self.selected[f"val/{task}/error"]
            for task in ("image", "digit")
        }

    def close(self) -> None:
        """Nothing has to be released."""


def report_of(config: dict[str, Any], number: int) -> dict[str, Any]:
    """The report of that number of a configuration tree."""
    share, rate = float(config["preference"]["image"]), float(config["optimizer"]["lr"])
    worse = 5.0 / number + 1000 * abs(rate - 1e-3)
    report = {
        "report": number,
        "epoch": number,
        "phase": "search" if number < REPORTS else "retrain",
        "val/image/error": 80 - 60 * share**0.5 + worse,
        "val/digit/error": 2 + 20 * share**2 + worse / 5,
    }
    return report | {f"extra/metric_{i:02d}": worse * i for i in range(15)}
