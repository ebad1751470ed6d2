"""The trial actor: a Tune class trainable whose step is one report of a trial, kept on disk before
it is told."""

from __future__ import annotations

import json
from typing import Any

from ray import tune

from mtsearch.execution.worker_group import WorkerGroup
from mtsearch.jobs.job import Job


class TrialActor(tune.Trainable):
    """Runs one job after another in a process that keeps its imports and data (`reuse_actors`), or
    in a worker group that stays.

    A job is text under ``job`` (see `mtsearch.jobs.job.Job`), and a step returns the job's
    `StepResult` as a mapping.
    ``group`` holds the settings of a `WorkerGroup` as JSON where a trial has several workers, else
    null. Only the death of this process makes Tune start a trial again.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first job. It begins with its first step: while Tune sets an actor up it neither
        watches nor restarts it."""
        self._job: Job | None = None
        settings = json.loads(config["group"])
        self._group = None if settings is None else WorkerGroup(settings)
        self._next: str | None = config["job"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next job in the same process or group."""
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
        """Nothing: the state is in the run directory already. (Tune pickles what is returned
        here.)"""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing, as `save_checkpoint`."""

    def cleanup(self) -> None:
        """Let go of the job and the group."""
        if self._group is not None:
            self._group.close()
        if self._job is not None:
            self._job.close()
