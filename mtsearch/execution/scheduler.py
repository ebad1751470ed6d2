"""The scheduler that Tune calls after every report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from mtsearch.strategy.moasha import MOASHA


class JobScheduler(FIFOScheduler):
    """Starts trials in the order of the searcher and stops those that the search's scheduler stops.

    `stopped` holds, by trial, why it was stopped, until `TuneCallback` has recorded it. No metric
    is passed to Tune: with one, Tune raises where a report lacks it.
    """

    def __init__(
        self,
        scheduler: MOASHA | None,
        complete: Callable[[Sequence[dict[str, Any]]], Sequence[dict[str, Any]]] = tuple,
        ended: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`complete` adds the metrics to reports that are computed from them; `ended` is why the
        search stops its running trials, None where it does not."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._scheduler, self._complete, self._ended = scheduler, complete, ended
        self.stopped: dict[str, str] = {}

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """None: Tune starts pending trials in order itself. The inherited method scans all trials,
        ended ones included, to find the first pending one."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether a search trial continues after these reports. Tune does not call this for results
        that end a trial."""
        name = trial.config["trial"]
        if trial.config["purpose"] != "train" or not trial.config["stoppable"]:
            return TrialScheduler.CONTINUE
        reason = self._ended()
        if reason is None and self._scheduler is not None:
            reason = self._scheduler.judge(name, self._complete(result["reports"]))
        if reason is None:
            return TrialScheduler.CONTINUE
        self.stopped[name] = reason
        return TrialScheduler.STOP
