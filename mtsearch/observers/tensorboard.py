"""TensorBoard event files in the run directory: a folder per trial, and the whole search in the
folder above."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtsearch.config.observers import TensorBoardObserverConfig
from mtsearch.config.space import Space
from mtsearch.observers.base import Observer, figures, parameters
from mtsearch.runs.state import TrialRecord
from mtsearch.runs.status import SearchStatus


class TensorBoard(Observer):
    """Every number of a report is a point whose step is the report number; ``selected/<objective>``
    are the trial's result.

    Event files of a trial that may be incomplete are written again from the run directory, so that
    no point occurs twice.
    """

    package = "tensorboard"

    def __init__(
        self, settings: TensorBoardObserverConfig, run: Path, space: Space, title: str
    ) -> None:
        super().__init__(settings, run, space, title)
        self.folder = run / "tensorboard"
        self._writers: dict[str, Any] = {}
        self._search: Any = None

    def started(self, ended: Sequence[TrialRecord]) -> None:
        for trial in ended:
            if self._mark(trial.trial) != _content(trial):
                self._write_all(trial)

    def trial(self, trial: TrialRecord) -> None:
        if trial.trial not in self._writers:
            self._open(trial)

    def report(self, trial: TrialRecord, report: Mapping[str, Any]) -> None:
        _add(self._writers[trial.trial], figures(report), report["report"])

    def ended(self, trial: TrialRecord, status: SearchStatus) -> None:
        self._close(trial, self._writers.pop(trial.trial))
        if self._search is None:
            self._search = _writer(self.folder)
        _add(
            self._search,
            {"search/front": status.front, "search/hypervolume": status.hypervolume},
            _count(status),
        )

    def tested(self, trial: TrialRecord) -> None:
        writer = _writer(self.folder / trial.trial)
        _add(writer, figures(trial.test), trial.selected or 0)
        self._end(trial, writer)

    def finished(self, status: SearchStatus, front: Sequence[str]) -> None:
        for writer in [
            *self._writers.values(),
            *([self._search] if self._search is not None else []),
        ]:
            writer.close()

    def _open(self, trial: TrialRecord) -> None:
        """Start a trial's folder with its earlier reports."""
        folder = self.folder / trial.trial
        shutil.rmtree(folder, ignore_errors=True)
        # `purge_step` makes a running TensorBoard drop the points that it read before.
        self._writers[trial.trial] = writer = _writer(folder, purge_step=0)
        for number in sorted(trial.reports):
            _add(writer, figures(trial.reports[number]), number)

    def _write_all(self, trial: TrialRecord) -> None:
        self._open(trial)
        self._close(trial, self._writers.pop(trial.trial))

    def _close(self, trial: TrialRecord, writer: Any) -> None:
        """Complete a trial's folder with its result, and record its content in a marker file."""
        from torch.utils.tensorboard.summary import hparams

        result = {
            f"selected/{o.metric}": trial.result[o.metric]
            for o in self.space.config.objectives
            if o.metric in trial.result
        }
        if trial.state == "done":
            _add(writer, {**result, **figures(trial.test)}, trial.selected or 0)
        settings = {
            path: value if isinstance(value, bool | int | float | str) else str(value)
            for path, value in parameters(trial).items()
        }
        # Without the columns of the table, which TensorBoard derives itself.
        _, start, end = hparams({"state": trial.state, **settings}, result)  # type: ignore[no-untyped-call]
        writer.file_writer.add_summary(start)
        writer.file_writer.add_summary(end)
        self._end(trial, writer)

    def _end(self, trial: TrialRecord, writer: Any) -> None:
        writer.close()
        (self.folder / trial.trial / "ended").write_text(_content(trial), encoding="utf-8")

    def _mark(self, trial: str) -> str | None:
        path = self.folder / trial / "ended"
        return path.read_text(encoding="utf-8") if path.is_file() else None


def _content(trial: TrialRecord) -> str:
    return f"{trial.state}, {len(trial.test)} test metrics\n"


def _count(status: SearchStatus) -> int:
    return sum(count for state, count in status.states.items() if state != "running")


def _writer(folder: Path, purge_step: int | None = None) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), flush_secs=5, purge_step=purge_step)


def _add(writer: Any, metrics: Mapping[str, float], step: int) -> None:
    for name, value in metrics.items():
        if math.isfinite(value):
            writer.add_scalar(name, value, step)
