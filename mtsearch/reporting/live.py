"""The output of a running search: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mtsearch.runs.state import TrialRecord, order
from mtsearch.runs.status import RunningSearch

REFRESH = 0.5  # seconds
ENDED = 5  # trials that ended last, shown above the running ones
FRAME = 8  # lines of the terminal that are not rows: the summary, the head and a margin


class Display:
    """Shows a search. Use it as a context; call `trial` after each event of a trial and
    `refresh` at any time."""

    def __init__(self, search: RunningSearch, slots: int, console: Console) -> None:
        self._search, self._slots, self._console = search, slots, console
        self._live: Live | None = None
        self._drawn = 0.0
        self._began: dict[str, float] = {}
        self._ended_seconds, self._ended_count = 0.0, 0

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def trial(self, trial: TrialRecord) -> None:
        """Take note of a trial that started, reported or ended; without a terminal, starts and ends
        are printed."""
        if trial.state == "running":
            self._began.setdefault(trial.trial, time.monotonic())
        elif (began := self._began.pop(trial.trial, None)) is not None:
            self._ended_seconds += time.monotonic() - began
            self._ended_count += 1
            if self._live is None:
                self.note(self._ended(trial))
        self.refresh(force=trial.state != "running")

    def note(self, line: str) -> None:
        """Print a line above the table."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def refresh(self, force: bool = False) -> None:
        """Draw the table again when it is due."""
        if self._live is not None and (force or time.monotonic() - self._drawn >= REFRESH):
            self._drawn = time.monotonic()
            self._live.update(self._table(), refresh=True)

    # ------------------------------------------------------------ text

    def _ended(self, trial: TrialRecord) -> str:
        ended = len(self._search.state.trials) - len(self._search.state.running)
        what = "  ".join(self._figures(trial)) if trial.state == "done" else trial.reason or ""
        return (
            f"[{ended}/{self._search.total}] {trial.trial} {trial.state}  {what}  |"
            f" {self._summary()}"
        )

    def _figures(self, trial: TrialRecord) -> list[str]:
        return [
            f"{o.metric} {_number(trial.result.get(o.metric))}"
            for o in self._search.space.config.objectives
        ]

    def _values(self, metrics: Mapping[str, Any]) -> list[str]:
        return [_number(metrics.get(o.metric)) for o in self._search.space.config.objectives]

    def _summary(self) -> str:
        parts = [
            f"front {self._search.front_size}",
            f"hypervolume {_number(self._search.hypervolume)}",
        ]
        left = self.remaining()
        return ", ".join(parts if left is None else [*parts, f"about {_span(left)} left"])

    def remaining(self) -> float | None:
        """Seconds until the end, from the mean time of the trials that ended under this driver;
        None before the first."""
        if not self._ended_count:
            return None
        state = self._search.state
        ended = len(state.trials) - len(state.running)
        running = [min(self._share(t), 1.0) for t in state.running.values()]
        return (
            self._ended_seconds
            / self._ended_count
            * max(self._search.total - ended - sum(running), 0.0)
            / self._slots
        )

    def _share(self, trial: TrialRecord) -> float:
        """The part of a trial that is done."""
        done, total = self._progress(trial)
        return done / total

    def _progress(self, trial: TrialRecord) -> tuple[int, int]:
        """What is done of a trial and its whole, in epochs; a population's in rounds."""
        last = trial.reports[max(trial.reports)] if trial.reports else {}
        if "population/rounds" in last:
            return int(last["population/round"]), int(last["population/rounds"])
        epochs: Mapping[str, Any] = trial.config.get("epochs") or {}
        defaults = self._search.space.trial().epochs
        total = int(epochs.get("search", defaults.search)) + int(
            epochs.get("retrain", defaults.retrain)
        )
        return int(last.get("epoch", 0)), total

    def _table(self) -> Group:
        objectives = [o.metric for o in self._search.space.config.objectives]
        table = Table(expand=False)
        table.add_column("trial", no_wrap=True)
        table.add_column("progress", no_wrap=True)
        for name in objectives:
            table.add_column(name.removeprefix("val/"), justify="right")
        state = self._search.state
        running = [t for t in sorted(state.running.values(), key=order) if t.trial in self._began]
        height = max(self._console.height - FRAME, 1)
        ended = state.ended[-min(ENDED, max(height - len(running), 0)) :] if running else []
        for trial in ended if height > len(running) else []:
            table.add_row(trial.trial, trial.state, *self._values(trial.result), style="dim")
        for trial in running[:height]:
            share = self._share(trial)
            bar = "█" * round(8 * share) + "░" * (8 - round(8 * share))
            last = trial.reports[max(trial.reports)] if trial.reports else {}
            done, total = self._progress(trial)
            progress = f"{bar} {done}/{total} {last.get('phase', '')}"
            table.add_row(trial.trial, progress, *self._values(last))
        counts = {name: count for name, count in state.states.items() if count}
        counts["waiting"] = max(self._search.total - len(state.trials), 0)
        states = "  ".join(f"{count} {name}" for name, count in counts.items())
        return Group(
            Text(f"{states}  |  {self._summary()}  |  {_span(self._search.elapsed)} so far"), table
        )


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) and not math.isnan(value) else "-"


def _span(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
