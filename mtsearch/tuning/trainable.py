"""The trial actor: a Tune class trainable whose step is one report of a trial, kept on disk before it is told."""

from __future__ import annotations

from typing import Any

from ray import tune

from mtsearch.tuning.job import Job


class TrialActor(tune.Trainable):
    """Runs one job after another in a process that keeps its imports and data (`reuse_actors`).

    A job is text under ``job`` (see `mtsearch.tuning.job.Job`), and what a step returns is the job's. Only the death of the process makes
    Tune start a trial again.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Begin the first job."""
        self._job = Job(config["job"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin the next job in the same process."""
        self.cleanup()
        self._job = Job(new_config["job"])
        return True

    def step(self) -> dict[str, Any]:
        """The next report."""
        return self._job.step()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: the state is in the run directory already. (Tune pickles what is returned here.)"""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing, as `save_checkpoint`."""

    def cleanup(self) -> None:
        """Let go of the job."""
        self._job.close()
