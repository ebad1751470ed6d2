"""Resident worker groups: a Ray Train worker group that is started once and trains one trial after
another.

What the documented way pays for every trial (controller, workers, their imports, the process group:
half a minute) is paid once a slot.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from contextlib import suppress
from typing import Any

import ray

from mtsearch.config.errors import reason_of
from mtsearch.execution.mailbox import Mailbox
from mtsearch.jobs.job import Job
from mtsearch.runs.messages import StepResult

POLL = 2.0  # seconds between looks at a group that says nothing
TOGETHER = (
    10.0  # seconds in which all ranks should have raised alike, else the group is started again
)
SHUTDOWN_TIMEOUT = 20.0  # seconds in which a group should have gone home

# of Ray Train: a death is noticed within a second, and nothing watches for what a slot does not
# have
_SETTINGS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
}


class WorkerGroup:
    """Workers that train one trial together, by data parallelism, and stay for the next one.

    One `TorchTrainer` runs in a thread for as long as the group lives. When a worker dies, Ray
    Train starts the group again and the current trial continues from its last state; a trial that
    loses its group too often fails.

    Args:
        settings: ``{"workers": n, "cpu": a worker, "gpu": a worker, "threads": a worker, "timeout":
            seconds that a collective may take, "start": seconds that the group may take to come up,
            "deaths": how often a trial may lose its group}``.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self._box = Mailbox.remote(settings["workers"], settings["deaths"])  # type: ignore[attr-defined]
        self._error: str | None = None
        self._posted = 0.0
        self._scratch = tempfile.TemporaryDirectory(prefix="mtsearch-group-")
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def begin(self, job: str) -> None:
        """Give the group its next job, whatever became of the one before."""
        self._posted = time.monotonic()
        ray.get(self._box.post.remote(job))

    def step(self) -> StepResult:
        """The job's next result. Never waits for ever: a group that does not come up, or is lost
        for good, fails the trial with a sentence."""
        while True:
            result: StepResult | None = ray.get(self._box.result.remote(POLL))
            if result is not None:
                return result
            reason = self._lost()
            if reason is not None:
                return StepResult(done=True, failed=reason, starts=0)

    def _lost(self) -> str | None:
        if not self._thread.is_alive():
            return (
                f"its group of {self.settings['workers']} workers is lost:"
                f" {self._error or 'it went home'}"
            )
        if (
            ray.get(self._box.incarnation.remote()) == 0
            and time.monotonic() - self._posted > self.settings["start"]
        ):
            wanted = (
                f"{self.settings['workers']} workers with {self.settings['cpu']:g} CPU and"
                f" {self.settings['gpu']:g} GPU each"
            )
            return (
                f"its group of {wanted} has not come up within {self.settings['start']:g} seconds:"
                " something else holds these resources, or a node lacks mtsearch. `ray status`"
                " shows who waits for what"
            )
        return None

    def close(self) -> None:
        """Send the group home."""
        ray.get(self._box.post.remote(None))
        self._thread.join(SHUTDOWN_TIMEOUT)
        ray.kill(self._box)
        self._scratch.cleanup()

    def _live(self) -> None:
        os.environ.update(
            {name: value for name, value in _SETTINGS.items() if name not in os.environ}
        )
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        settings = self.settings
        resources = {
            name: amount
            for name, amount in (("CPU", settings["cpu"]), ("GPU", settings["gpu"]))
            if amount > 0
        }
        threads = str(settings["threads"])
        trainer = TorchTrainer(
            serve,
            train_loop_config={"box": self._box},
            scaling_config=ScalingConfig(
                num_workers=settings["workers"],
                use_gpu=settings["gpu"] > 0,
                resources_per_worker=resources,
            ),
            # The checker sees the class of Ray Train's first version.
            run_config=RunConfig(  # type: ignore[call-arg]
                name="group",
                storage_path=self._scratch.name,
                failure_config=FailureConfig(max_failures=-1),
                worker_runtime_env={
                    "env_vars": {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
                },
            ),
            torch_config=TorchConfig(
                backend="cpu:gloo,cuda:nccl" if settings["gpu"] > 0 else "gloo",
                timeout_s=settings["timeout"],
            ),
        )
        try:
            trainer.fit()
        except Exception as error:  # told by the next step
            self._error = reason_of(error)


class Broken(RuntimeError):
    """One rank's trial raised and the others wait for it in a collective: only a new start of the
    group frees them."""


def serve(config: dict[str, Any]) -> None:
    """What every worker of a group does: job after job until there is none, or nobody is left to
    ask for one."""
    with suppress(
        ray.exceptions.RayActorError
    ):  # else Ray Train would start a group for ever whose actor is gone
        _serve(config["box"])


def _serve(box: Any) -> None:
    import torch.distributed as dist

    from mtsearch.training import World

    # Before this was called, Ray Train made the worker's own GPU, where it has one, torch's current
    # device.
    world = World(dist.get_rank(), dist.get_world_size())
    incarnation = world.tell(ray.get(box.begin.remote()) if world.rank == 0 else None)
    place = 0
    while True:
        number, text = ray.get(box.next.remote(incarnation, place, world.rank))
        if not text:
            return
        place += 1
        job = Job(text, world)
        try:
            _work(box, incarnation, number, job, world)
        finally:
            job.close()


def _work(box: Any, incarnation: int, number: int, job: Job, world: Any) -> None:
    while True:
        result = job.step()
        if result.failed is not None:
            if not ray.get(
                box.fail.remote(incarnation, number, world.rank, result.failed, TOGETHER)
            ):
                raise Broken(result.failed)
            return
        if not world.tell(
            ray.get(box.put.remote(incarnation, number, result)) if world.rank == 0 else None
        ):
            return
