"""The output of a running search: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mtsearch.pareto.columns import format_value, label, number
from mtsearch.reporting.console import print_line
from mtsearch.reporting.terminal import heading_lines
from mtsearch.runs.state import TrialRecord, order
from mtsearch.runs.status import RunningSearch

REFRESH = 0.5  # seconds
ENDED = 3  # trials that ended last, shown above the running ones
FRAME = 10  # lines of the terminal that are not rows: summary, heads, rules and a margin
FIXED, COLUMN = 34, 12  # columns of the terminal: the first two of the table, each objective


class Display:
    """Shows a search. Use it as a context; call `trial` after each event of a trial and
    `refresh` at any time.

    A terminal shows a table with the running trials, those that ended last, the front and the best
    values so far, in the words of the report. A notebook or a file gets a line for each trial that
    ends.
    """

    def __init__(self, search: RunningSearch, slots: int, console: Console) -> None:
        self._search, self._slots, self._console = search, slots, console
        self._live: Live | None = None
        self._drawn = 0.0
        self._began: dict[str, float] = {}
        self._ended_seconds, self._ended_count = 0.0, 0
        self._objectives = search.space.config.objectives
        self._kinds: Mapping[str, str] = search.run.environment.get("tasks") or {}

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
        """Take note of a trial that started, reported or ended; without a terminal, ends are
        printed."""
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
        print_line(self._console, line)

    def refresh(self, force: bool = False) -> None:
        """Draw the table again when it is due."""
        if self._live is not None and (force or time.monotonic() - self._drawn >= REFRESH):
            self._drawn = time.monotonic()
            self._live.update(self._screen(), refresh=True)

    # ------------------------------------------------------------ text

    def _ended(self, trial: TrialRecord) -> str:
        ended = len(self._search.state.trials) - len(self._search.state.running)
        values = self._values(trial.result)
        figures = "  ".join(f"{self._label(o.metric)} {v}" for o, v in self._pairs(values))
        what = figures if trial.state == "done" else trial.reason or ""
        summary = ", ".join(self._summary())
        return f"[{ended}/{self._search.total}] {trial.trial} {trial.state}  {what}  | {summary}"

    def _pairs(self, values: Sequence[str]) -> list[tuple[Any, str]]:
        return list(zip(self._objectives, values, strict=True))

    def _label(self, metric: str) -> str:
        return label(metric, self._kinds)

    def _values(self, metrics: Mapping[str, Any]) -> list[str]:
        return [
            format_value(metrics.get(o.metric), o.metric, self._kinds) for o in self._objectives
        ]

    def _summary(self) -> list[str]:
        parts = [f"front {self._search.front_size}", f"hypervolume {self._hypervolume()}"]
        if self._ended_count:
            mean = self._ended_seconds / self._ended_count
            parts.append(f"{mean:.{1 if mean < 100 else 0}f} s a trial")
        left = self.remaining()
        return parts if left is None else [*parts, f"about {_span(left)} left"]

    def _hypervolume(self) -> str:
        value = self._search.hypervolume
        if math.isnan(value):
            return format_value(None)
        box = self._search.reference.box
        return f"{100 * value / box:.2f} % of the box" if box else f"{value:.4g}"

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

    # ------------------------------------------------------------ the screen

    def _screen(self) -> Group:
        state = self._search.state
        known = ("done", "failed", "stopped", "running")
        counts = {name: state.states[name] for name in known if state.states[name]}
        counts["waiting"] = max(self._search.total - len(state.trials), 0)
        states = [f"{count} {name}" for name, count in counts.items()]
        first = Text("  ".join([*states, f"{_span(self._search.elapsed)} so far"]))
        return Group(first, Text(", ".join(self._summary())), self._table())

    def _table(self) -> Table:
        """The running trials, those that ended last, the front and the best values so far, as many
        as the terminal has lines and columns for."""
        width, height = self._console.width, self._console.height - FRAME
        shown = max(1, min(len(self._objectives), (width - FIXED) // COLUMN))
        table = Table(expand=False)
        table.add_column("trial", no_wrap=True)
        table.add_column("progress", no_wrap=True)
        for objective in self._objectives[:shown]:
            table.add_column(Text(heading_lines(self._label(objective.metric))), justify="right")
        if shown < len(self._objectives):
            table.caption = f"{len(self._objectives) - shown} more objectives in the report"

        state = self._search.state
        running = [t for t in sorted(state.running.values(), key=order) if t.trial in self._began]
        running = running[: max(height, 1)]
        left = max(height - len(running), 0)
        best = self._best() if left else None
        front = self._front()[: max(left - ENDED - 1, 0)]
        ended = state.ended[-min(ENDED, max(left - len(front) - 1, 0)) :] if left > 1 else []

        def add(name: str, what: str, values: Sequence[str], style: str = "") -> None:
            table.add_row(name, what, *values[:shown], style=style)

        for trial in running:
            last = trial.reports[max(trial.reports)] if trial.reports else {}
            add(trial.trial, self._bar(trial, str(last.get("phase", ""))), self._values(last))
        table.add_section()
        for trial in reversed(ended):
            add(trial.trial, trial.state, self._values(trial.result), "dim")
        table.add_section()
        for trial in front:
            add(trial.trial, "front", self._values(trial.result))
        if best is not None and self._search.front_size:
            add("", "best so far", best, "bold")
        return table

    def _bar(self, trial: TrialRecord, phase: str) -> str:
        full = round(8 * self._share(trial))
        done, total = self._progress(trial)
        return f"{'█' * full}{'░' * (8 - full)} {done}/{total} {phase}"

    def _front(self) -> list[TrialRecord]:
        """The front, the best of the first objective first, as in the report."""
        first = self._objectives[0]
        sign = -1 if first.goal == "max" else 1
        return sorted(self._search.front(), key=lambda t: sign * number(t.result, first.metric))

    def _best(self) -> list[str]:
        """The best value of each objective on the front."""
        rows = [trial.result for trial in self._search.front()]
        found: dict[str, Any] = {}
        for o in self._objectives:
            values = [v for row in rows if not math.isnan(v := number(row, o.metric))]
            found[o.metric] = (max if o.goal == "max" else min)(values, default=None)
        return self._values(found)


def _span(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
