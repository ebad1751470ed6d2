"""The rules of `search.stop`, which end a search before it has all its trials."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.schema import SpaceConfig
from mtsearch.pareto import Front, hypervolume
from mtsearch.runs.driven import DrivenRun
from mtsearch.runs.state import RunState, TrialRecord
from mtsearch.strategy.repeats import stoppable


class StopRules:
    """Follows the reports and the front of a search until a rule ends it.

    The rules of `search.stop` are functions of recorded reports and results, so that a resumed
    search ends at the same place. What a trial has cost is what its last report says. The first
    rule that holds ends the search for good, unless a resume changes the rules.

    Args:
        run: its reports so far are read.
        config: of the search.
        state: of the run; `stop` is the reason where it is recorded.
    """

    def __init__(self, run: DrivenRun, config: SpaceConfig, state: RunState) -> None:
        self._state, self._stop = state, config.search.stop
        self._budget = config.search.budget or 0.0
        self._goals = [o.goal for o in config.objectives]
        gpu = config.resources.gpu  # `auto` is replaced before a search starts
        self._gpus = 0.0 if gpu == "auto" else gpu * config.workers
        self._costs: dict[str, tuple[float, float]] = {}  # by trial: epochs, seconds
        self._epochs = self._seconds = 0.0
        window = self._stop.plateau.window if self._stop.plateau is not None else 0
        # the front after each of the last `window` + 1 trials that ended
        self._fronts: deque[NDArray[np.float64]] = deque(maxlen=window + 1)
        self._reason: str | None = None
        if self._stop.epochs is not None or self._stop.gpu_hours is not None:
            for event in run.events():
                if event["event"] == "report":
                    self.report(event["trial"], event["metrics"])

    @property
    def reason(self) -> str | None:
        """Which rule has ended the search; None where none has."""
        return self._state.stop or self._reason

    def unrecorded(self, budget_spent: bool) -> str | None:
        """The reason where no event has it; also that the seconds of `search.budget` are used."""
        if budget_spent:
            self._end("budget", f"{self._budget:g} seconds are used")
        return self._reason if self._state.stop is None else None

    @property
    def stops_running(self) -> str | None:
        """Why running trials should stop at their next report; None where they should not."""
        return self.reason if self._stop.running == "stop" else None

    def verdict(self, trial: TrialRecord) -> str | None:
        """Why an unfinished trial is not continued."""
        return trial.verdict or (self.stops_running if stoppable(trial) else None)

    def report(self, trial: str, metrics: Mapping[str, Any]) -> None:
        """A trial or control has reported."""
        cost = (float(metrics.get("epoch", 0)), float(metrics.get("cost/seconds", 0.0)))
        epochs, seconds = self._costs.get(trial, (0.0, 0.0))
        # a trial that continues after an interruption may report an epoch again
        cost = (max(cost[0], epochs), max(cost[1], seconds))
        self._costs[trial] = cost
        self._epochs += cost[0] - epochs
        self._seconds += cost[1] - seconds
        limit, hours = self._stop.epochs, self._stop.gpu_hours
        used = self._gpus * self._seconds / 3600
        if limit is not None and self._epochs >= limit:
            self._end("stop.epochs", f"{self._epochs:g} epochs are trained, the limit is {limit}")
        if hours is not None and used >= hours:
            self._end("stop.gpu_hours", f"{used:.3g} GPU-hours are used, the limit is {hours:g}")

    def ended(self, front: Front[str]) -> None:
        """A trial of the search has ended; `front` has its results.

        The hypervolumes before and after the window have the reference point of now, which may
        depend on the worst value seen.
        """
        plateau = self._stop.plateau
        if plateau is None:
            return
        self._fronts.append(front.points.copy())
        before = self._fronts[0]
        if len(self._fronts) <= plateau.window or not len(before):
            return
        reference = front.reference.values
        old, new = (
            hypervolume(points, self._goals, reference) for points in (before, front.points)
        )
        if 0 < new <= (1 + plateau.gain) * old:
            self._end(
                "stop.plateau",
                f"the hypervolume grew by {100 * (new / old - 1):.2g} % in {plateau.window} trials",
            )

    def _end(self, rule: str, text: str) -> None:
        if self.reason is None:
            self._reason = f"`search.{rule}` has ended the search: {text}"


def described(config: SpaceConfig) -> str | None:
    """The rules in words, for the dry run and the banner; None where there are none."""
    search = config.search
    stop, found = search.stop, [f"{search.trials} trials"]
    if search.budget is not None:
        found.append(f"{search.budget:g} seconds")
    if stop.epochs is not None:
        found.append(f"{stop.epochs} epochs")
    if stop.gpu_hours is not None:
        found.append(f"{stop.gpu_hours:g} GPU-hours")
    if stop.plateau is not None:
        found.append(
            f"a gain in hypervolume of at most {100 * stop.plateau.gain:g} % in"
            f" {stop.plateau.window} trials"
        )
    if len(found) == 1:
        return None
    running = (
        "" if stop.running == "finish" else "; running trials are stopped at their next report"
    )
    return f"at the first of {', '.join(found)}{running}"
