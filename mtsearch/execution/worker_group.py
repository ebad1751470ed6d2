"""Resident worker groups: a Ray Train worker group that is started once and trains one trial after
another.

Starting a group (controller, workers, their imports, the process group) takes half a minute. Ray
Train starts one for every trial; here it is started once per slot.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import Any

import ray

from mtsearch.config.errors import reason_of
from mtsearch.config.objects import add_objects
from mtsearch.config.temporary import remove_temporary, temporary_folder
from mtsearch.execution.mailbox import Mailbox
from mtsearch.jobs.job import Job
from mtsearch.runs.messages import StepResult

POLL_INTERVAL = 2.0  # seconds between checks of a group that returns no result
FAILURE_TIMEOUT = 10.0  # seconds in which all ranks raise, else the group is started again
SHUTDOWN_TIMEOUT = 20.0  # seconds

# Ray Train notices a dead worker within a second and runs no watchers that are not needed here.
_SETTINGS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
}


class WorkerGroup:
    """Workers that train one trial after another together, by data parallelism.

    One `TorchTrainer` runs in a thread until the group is closed. When a worker dies, Ray Train
    starts the group again and the current trial continues from its last state; a trial that loses
    its group more than ``deaths`` times fails.

    Args:
        settings: ``workers`` (their number), ``cpu``, ``gpu`` and ``threads`` (of each worker),
            ``timeout`` (seconds that a collective may take), ``start`` (seconds that the group may
            take to start), ``deaths`` (how many times a trial may lose its group), ``objects``
            (objects that the user gave, by name).
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self._box = Mailbox.remote(settings["workers"], settings["deaths"])  # type: ignore[attr-defined]
        self._error: str | None = None
        self._posted = 0.0
        self._scratch = temporary_folder("group")
        self._thread = threading.Thread(target=self._run_trainer, daemon=True)
        self._thread.start()

    def begin(self, job: str) -> None:
        """Start the next job, whether or not the one before has ended."""
        self._posted = time.monotonic()
        ray.get(self._box.post.remote(job))

    def step(self) -> StepResult:
        """The job's next result. Where the group does not start, or has ended, the result is a
        failure with the reason."""
        while True:
            result: StepResult | None = ray.get(self._box.result.remote(POLL_INTERVAL))
            if result is not None:
                return result
            reason = self._loss_reason()
            if reason is not None:
                return StepResult(done=True, failed=reason, starts=0)

    def _loss_reason(self) -> str | None:
        if not self._thread.is_alive():
            return (
                f"its group of {self.settings['workers']} workers has ended"
                f"{f': {self._error}' if self._error else ''}"
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
                f"its group of {wanted} has not started within {self.settings['start']:g} seconds:"
                " these resources are in use, or a node lacks mtsearch. `ray status` shows what is"
                " waited for"
            )
        return None

    def close(self) -> None:
        """End the workers."""
        ray.get(self._box.post.remote(None))
        self._thread.join(SHUTDOWN_TIMEOUT)
        ray.kill(self._box)
        remove_temporary(self._scratch)

    def _run_trainer(self) -> None:
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
            run_worker,
            train_loop_config={"box": self._box, "objects": settings.get("objects", {})},
            scaling_config=ScalingConfig(
                num_workers=settings["workers"],
                use_gpu=settings["gpu"] > 0,
                resources_per_worker=resources,
            ),
            # mypy resolves the class of Ray Train V1
            run_config=RunConfig(  # type: ignore[call-arg]
                name="group",
                storage_path=str(self._scratch),
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
        except Exception as error:  # the next `step` returns it
            self._error = reason_of(error)


class GroupRestart(RuntimeError):
    """One rank's trial raised while the others wait for it in a collective, which only a new start
    of the group ends."""


def run_worker(config: dict[str, Any]) -> None:
    """The main function of a worker: it runs jobs until the group is closed or its actor is
    dead."""
    add_objects(config["objects"])
    # Ray Train would restart a group without end whose trial actor is dead.
    with suppress(ray.exceptions.RayActorError):
        _run_jobs(config["box"])


def _run_jobs(box: Any) -> None:
    import torch.distributed as dist

    from mtsearch.training import World

    # Ray Train has made the worker's own GPU torch's current device.
    world = World(dist.get_rank(), dist.get_world_size())
    incarnation = world.broadcast(ray.get(box.begin.remote()) if world.rank == 0 else None)
    index = 0
    while True:
        number, text = ray.get(box.next.remote(incarnation, index, world.rank))
        if not text:
            return
        index += 1
        job = Job(text, world)
        try:
            _run_job(box, incarnation, number, job, world)
        finally:
            job.close()


def _run_job(box: Any, incarnation: int, number: int, job: Job, world: Any) -> None:
    while True:
        result = job.step()
        if result.failed is not None:
            if not ray.get(
                box.fail.remote(
                    *(incarnation, number, world.rank, result.failed, FAILURE_TIMEOUT), result.log
                )
            ):
                raise GroupRestart(result.failed)
            return
        if not world.broadcast(
            ray.get(box.put.remote(incarnation, number, result)) if world.rank == 0 else None
        ):
            return
