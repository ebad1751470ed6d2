"""The scheduler that Tune asks after every report: it stops what ours would stop, and nothing
else."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from mtsearch.strategy.moasha import MOASHA


class JobScheduler(FIFOScheduler):
    """Trials start in the order of the searcher. `stopped` holds why a trial was stopped, until who
    writes that down takes it out.

    No metric is named: Tune's own schedulers take one, and raise where a report lacks it.
    """

    def __init__(self, halving: MOASHA | None) -> None:
        super().__init__()
        self._halving = halving
        self.stopped: dict[str, str] = {}

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """None ahead of its turn. The inherited method looks at all trials, ended ones too, to find
        the first, which Tune starts anyway."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Stop a search trial whose reports say so. Tune does not ask about results that end a
        trial."""
        name = trial.config["trial"]
        if (
            self._halving is None
            or trial.config["purpose"] != "train"
            or not trial.config["stoppable"]
        ):
            return TrialScheduler.CONTINUE
        reason = self._halving.judge(name, result["reports"])
        if reason is None:
            return TrialScheduler.CONTINUE
        self.stopped[name] = reason
        return TrialScheduler.STOP
