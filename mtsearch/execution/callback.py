"""What Tune tells of trials, written into the manager and shown; silent processes are ended."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import ray
from ray import tune

from mtsearch.execution.cleanup import TrialCleanup
from mtsearch.execution.scheduler import JobScheduler
from mtsearch.observers.dispatcher import ObserverDispatcher
from mtsearch.reporting.live import Display
from mtsearch.runs.messages import StepResult
from mtsearch.strategy.manager import TrialManager

CAUSE = 400  # characters of a reason


class TuneCallback(tune.Callback):
    """Writes what Tune hears into the manager."""

    def __init__(
        self,
        manager: TrialManager,
        display: Display,
        dispatcher: ObserverDispatcher,
        interrupt: threading.Event,
    ) -> None:
        self._manager, self._display, self._dispatcher, self._interrupt = (
            manager,
            display,
            dispatcher,
            interrupt,
        )
        self.scheduler = JobScheduler(manager.halving)
        self._starts: dict[str, int] = {}  # by trial, of the group that has it
        self._heard: dict[str, float] = {}  # when, by Tune's name of a trial
        self._running: dict[str, Any] = {}  # by Tune's name
        self._due = 0.0  # when to look for silent ones again
        self._unbegun: Counter[tuple[str, str]] = (
            Counter()
        )  # how often a trial or its test was lost before it began
        self._ended: list[Any] = []
        self._forget = TrialCleanup()
        self._trials: list[Any] = []

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._trials = trials

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._heard[trial.trial_id] = time.monotonic()
        self._running[trial.trial_id] = trial
        self._show(trial)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        name = trial.config["trial"]
        self._heard[trial.trial_id] = time.monotonic()
        step = StepResult.from_dict(result)
        if step.halt is not None:
            self._manager.halt(step.halt)
        if trial.config["purpose"] == "test":
            self._tested(name, step.test, step.failed)
            return
        self._started_again(name, step.starts)
        self._manager.run.on_store_error(step.store_error)
        self._dispatcher.memory(name, step.gpu_memory)
        if step.note is not None:
            self._manager.note(name, step.note)
            self._display.note(f"{name}: {step.note}")
        self._manager.reports(name, step.reports, self.scheduler.stopped.get(name))
        if step.failed is not None:
            self._manager.failed(name, step.failed)
        elif step.selected is not None:
            self._manager.done(name, step.selected)
        elif name in self.scheduler.stopped:
            self._manager.stopped(name, self.scheduler.stopped.pop(name))
        self._show(trial)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        name = trial.config["trial"]
        if trial.config["purpose"] == "test":
            self._display.note(f"{name}: the process of its test died; it is tested again")
            return
        reports = self._manager.state.trials[name].reports
        self._display.note(
            f"{name}: its process died; it goes on"
            f" {f'after report {max(reports)}' if reports else 'from its start'}"
        )
        self._manager.start(self._manager.state.trials[name])
        self._starts.pop(name, None)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._leave(trial)

    def _leave(self, trial: Any) -> None:
        self._heard.pop(trial.trial_id, None)
        self._running.pop(trial.trial_id, None)
        self._starts.pop(trial.config["trial"], None)
        self._ended.append(trial)

    def _started_again(self, name: str, starts: int) -> None:
        """A group that lost a worker has begun its trial anew without this process: write that
        down, too."""
        for _ in range(self._starts.get(name, 1), starts):
            self._manager.start(self._manager.state.trials[name])
        self._starts[name] = max(starts, self._starts.get(name, 1))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        name, purpose, allowed = (
            trial.config["trial"],
            trial.config["purpose"],
            self._manager.space.config.search.max_failures,
        )
        self._leave(trial)
        if trial.num_failures <= allowed and self._unbegun[name, purpose] < allowed:
            # Tune restarts what runs, but gives up a trial that it hands to a process which has
            # died while it had nothing to do.
            self._unbegun[name, purpose] += 1
            self._manager.again(name, purpose)
            return
        reason = f"its process died {trial.num_failures} times: {cause_of_death(trial.error_file)}"
        if purpose == "test":
            self._tested(name, None, reason)
            return
        self._manager.failed(name, reason)
        self._show(trial)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        for line in self._manager.run.pop_messages():
            self._display.note(line)
        self._display.refresh()
        self._dispatcher.renew()
        self._give_up_the_silent()
        while self._ended:
            self._forget(self._ended.pop())
        if self._interrupt.is_set() or self._manager.run.abort_reason:
            raise KeyboardInterrupt

    def _give_up_the_silent(self) -> None:
        """Kill processes that make no report, stopped or hanging: Ray sees only those die that end.
        Tune then starts their trials again."""
        bound = self._manager.space.config.resources.report_timeout
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + 1.0
        for trial in self._running.values():
            actor = trial.temporary_state.ray_actor
            if (
                trial.status == "RUNNING"
                and actor is not None
                and now - self._heard.get(trial.trial_id, now) > bound
            ):
                del self._heard[trial.trial_id]
                self._display.note(
                    f"{trial.config['trial']}: no report within `resources.report_timeout`"
                    f" ({bound:g} s), its process is killed"
                )
                ray.kill(actor)

    def kill(self) -> None:
        """End the processes of all trials."""
        for trial in self._trials:
            if trial.temporary_state.ray_actor is not None:
                ray.kill(trial.temporary_state.ray_actor)

    def _tested(self, name: str, metrics: dict[str, Any] | None, failed: str | None) -> None:
        self._manager.tested(name, metrics)
        if metrics is None:
            self._display.note(f"the test of {name} failed: {failed}")
        self._display.refresh(force=True)

    def _show(self, trial: Any) -> None:
        if trial.config["purpose"] == "train":
            self._display.trial(self._manager.state.trials[trial.config["trial"]])


def cause_of_death(file: str | None) -> str:
    """What Ray says of the last of the failures in Tune's error file of a trial, without names and
    numbers that only Ray knows."""
    if file is None or not Path(file).exists():
        return "no reason given"
    text = (
        Path(file)
        .read_text(encoding="utf-8", errors="replace")
        .rpartition("Failure # ")[2]
        .partition("\n")[2]
        .strip()
    )
    if "Traceback" in text:
        return text.splitlines()[-1][:CAUSE]
    told = " ".join(line for line in text.splitlines() if not line.startswith("\t"))
    for opening in (
        "The actor died unexpectedly before finishing this task. ",
        "Worker exit detail: ",
    ):
        told = told.rpartition(opening)[2]
    return (
        told.partition(" If the process was killed by the kernel")[0][:CAUSE] or "no reason given"
    )
