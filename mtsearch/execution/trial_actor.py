"""The trial actor: a Tune class trainable whose step is one report of a trial. The state is on disk
before a report is returned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ray import tune

from mtsearch.config.objects import add_objects
from mtsearch.execution.worker_group import WorkerGroup
from mtsearch.jobs.job import Job


class TrialActor(tune.Trainable):
    """Runs one job after another in one process, which keeps its imports and data, or in one
    resident worker group.

    The configuration has a ``job`` (text, see `mtsearch.jobs.job.Job`), whose `StepResult` a step
    returns as a mapping, and a ``group`` (JSON): the settings of a `WorkerGroup` where a trial has
    several workers, else null. Tune restarts a trial only when this process dies.
    """

    def setup(self, config: dict[str, Any], objects: Mapping[str, Any] | None = None) -> None:
        """Store the first job, and the objects that the user gave. It begins in `step`: Tune does
        not restart an actor that dies in `setup`."""
        self._job: Job | None = None
        add_objects(objects or {})
        settings = json.loads(config["group"])
        if settings is not None:
            settings["objects"] = dict(objects or {})
        self._group = None if settings is None else WorkerGroup(settings)
        self._next: str | None = config["job"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Store the next job for the same process or group."""
        self._next = new_config["job"]
        return True

    def _begin(self, job: str) -> None:
        if self._group is not None:
            self._group.begin(job)
            return
        if self._job is not None:
            self._job.close()
        self._job = Job(job)

    def step(self) -> dict[str, Any]:
        """The next `StepResult`, as a mapping."""
        if self._next is not None:
            job, self._next = self._next, None
            self._begin(job)
        runner = self._group or self._job
        assert runner is not None
        return runner.step().to_dict()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: the run directory has the state. (Tune pickles what is returned here.)"""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing, as in `save_checkpoint`."""

    def cleanup(self) -> None:
        """Close the job and the group."""
        if self._group is not None:
            self._group.close()
        if self._job is not None:
            self._job.close()
