"""The searcher that Tune asks: what is unfinished first, then the controls, then the study's proposals."""

from __future__ import annotations

import json
from typing import Any

from ray.tune.search import Searcher

from mtsearch.tuning.ledger import Ledger


class JobSearcher(Searcher):
    """Hands Tune one job a trial. Results do not pass through here: the ledger tells the study, from the events."""

    def __init__(self, ledger: Ledger, trial_class: str) -> None:
        super().__init__()  # no metric: with one, Tune raises in its controller when a report lacks it
        self._ledger, self._trial_class = ledger, trial_class

    def suggest(self, trial_id: str) -> Any:
        """The next job's configuration, or FINISHED."""
        trial = self._ledger.next_trial()
        if trial is None:
            return Searcher.FINISHED
        job = {
            "folder": str(self._ledger.run.checkpoint(trial.trial).resolve()),
            "config": trial.config,
            "data": self._ledger.data.model_dump(mode="json"),
            "trial_class": self._trial_class,
        }
        return {"trial": trial.trial, "job": json.dumps(job)}  # text, so that Tune finds nothing in it to resolve

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing is left to do."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: Tune's own resume is not used."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, as `save`."""
