"""The searcher that Tune calls for jobs: unfinished trials, controls, proposals, then tests."""

from __future__ import annotations

import json
from typing import Any

from ray.tune.search import Searcher

from mtsearch.config.schema import TrialConfig
from mtsearch.execution.slots import gpus
from mtsearch.jobs.description import JobDescription, Purpose
from mtsearch.strategy.children import finished_parent
from mtsearch.strategy.manager import TrialManager
from mtsearch.strategy.repeats import stoppable

_TRAIN: Purpose = "train"
_TEST: Purpose = "test"


class JobSearcher(Searcher):
    """Gives Tune one job per trial. Results do not pass through here: the manager reports them to
    the study."""

    def __init__(self, manager: TrialManager, trial_class: str) -> None:
        # no metric: with one, Tune raises in its controller when a report lacks it
        super().__init__()
        self._manager, self._trial_class = manager, trial_class

    def suggest(self, trial_id: str) -> Any:
        """The next job; None while another one may follow later; FINISHED at the end."""
        trial, purpose = self._manager.next_trial(), _TRAIN
        if trial is None and self._manager.has_running_trials:
            return None
        if trial is None:
            trial, purpose = self._manager.next_test(), _TEST
        if trial is None:
            return None if self._manager.has_running_tests else Searcher.FINISHED
        job = JobDescription.of_trial(
            self._manager.run,
            self._manager.space,
            self._manager.data,
            trial.trial,
            trial.config,
            purpose=purpose,
            trial_class=self._trial_class,
            expected=purpose == _TEST or trial.attempts > 1,
            gpu=gpus(self._manager.space.config),
            parent=finished_parent(self._manager.state, trial),
        )
        return {
            "trial": trial.trial,
            "purpose": purpose,
            "stoppable": stoppable(trial),
            "job": job.to_json(),
            "group": json.dumps(self._group(trial.config)),
        }

    def _group(self, config: dict[str, Any]) -> dict[str, Any] | None:
        """The settings of a trial's worker group; None where one process trains it."""
        space = self._manager.space.config
        if space.workers == 1:
            return None
        resources = space.resources
        return {
            "workers": space.workers,
            "cpu": resources.cpu,
            "gpu": gpus(space),
            "threads": config.get("threads", TrialConfig.model_fields["threads"].default),
            "timeout": resources.collective_timeout,
            "start": resources.start_timeout,
            "deaths": space.search.max_failures,
        }

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: `TuneCallback` records results."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: Tune's own resume is not used."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, as `save`."""
