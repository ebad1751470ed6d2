"""The callback of Tune: it records what happens to trials and kills processes that stop
reporting."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import ray
from ray import tune

from mtsearch.execution.compat import TrialCleanup, actor_of
from mtsearch.execution.scheduler import JobScheduler
from mtsearch.jobs.failures import last_lines
from mtsearch.observers.dispatcher import ObserverDispatcher
from mtsearch.reporting.live import Display
from mtsearch.runs.messages import StepResult
from mtsearch.strategy.manager import TrialManager

REASON_LENGTH = 400  # characters
SILENCE_CHECK = 1.0  # seconds between checks for processes that stopped reporting


class TuneCallback(tune.Callback):
    """Records the events of Tune's trials in the manager and shows them.

    Args:
        manager: of the run.
        display: shows trials and notes.
        dispatcher: passes events to the observers.
        interrupt: the search ends with KeyboardInterrupt once this is set.
    """

    def __init__(
        self,
        manager: TrialManager,
        display: Display,
        dispatcher: ObserverDispatcher,
        interrupt: threading.Event,
    ) -> None:
        self._manager, self._display = manager, display
        self._dispatcher, self._interrupt = dispatcher, interrupt
        self.scheduler = JobScheduler(
            manager.scheduler, manager.with_derived, lambda: manager.rules.stops_running
        )
        self._group_starts: dict[str, int] = {}  # by trial: how often its worker group began it
        self._last_result: dict[str, float] = {}  # by Tune's name of a trial: the time
        self._running: dict[str, Any] = {}  # by Tune's name
        self._next_check = 0.0  # for silent processes
        # by trial and purpose: how often its process died before it began
        self._lost_before_start: Counter[tuple[str, str]] = Counter()
        self._ended: list[Any] = []
        self._clean_up = TrialCleanup()
        self._trials: list[Any] = []

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._trials = trials

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._last_result[trial.trial_id] = time.monotonic()
        self._running[trial.trial_id] = trial
        self._show(trial)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        name = trial.config["trial"]
        self._last_result[trial.trial_id] = time.monotonic()
        step = StepResult.from_dict(result)
        if step.halt is not None:
            self._manager.halt(step.halt)
        if trial.config["purpose"] == "test":
            self._tested(name, step.test, step.failed, step.predictions)
            return
        self._record_group_starts(name, step.starts)
        self._manager.run.on_store_error(step.store_error)
        self._dispatcher.memory(name, step.gpu_memory)
        if step.note is not None:
            self._manager.note(name, step.note)
            self._display.note(f"{name}: {step.note}")
        self._manager.reports(name, step.reports, self.scheduler.stopped.get(name))
        if step.failed is not None:
            self._manager.run.attach_log(name, step.log)
            self._manager.failed(name, step.failed)
        elif step.selected is not None:
            self._manager.done(name, step.selected, step.points, step.measured)
        elif name in self.scheduler.stopped:
            self._manager.stopped(name, self.scheduler.stopped.pop(name))
        self._show(trial)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        name = trial.config["trial"]
        if trial.config["purpose"] == "test":
            self._display.note(f"{name}: the process of its test died; the test is repeated")
            return
        reports = self._manager.state.trials[name].reports
        place = f"after report {max(reports)}" if reports else "from its start"
        self._display.note(f"{name}: its process died; it continues {place}")
        self._manager.start(self._manager.state.trials[name])
        self._group_starts.pop(name, None)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._remove(trial)

    def _remove(self, trial: Any) -> None:
        self._last_result.pop(trial.trial_id, None)
        self._running.pop(trial.trial_id, None)
        self._group_starts.pop(trial.config["trial"], None)
        self._ended.append(trial)

    def _record_group_starts(self, name: str, starts: int) -> None:
        """Record that a worker group restarted its trial by itself after it lost a worker."""
        for _ in range(self._group_starts.get(name, 1), starts):
            self._manager.start(self._manager.state.trials[name])
        self._group_starts[name] = max(starts, self._group_starts.get(name, 1))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        name, purpose = trial.config["trial"], trial.config["purpose"]
        allowed = self._manager.space.config.search.max_failures
        self._remove(trial)
        if trial.num_failures <= allowed and self._lost_before_start[name, purpose] < allowed:
            # Tune restarts trials that run, but not one that it assigns to an idle process which
            # has died.
            self._lost_before_start[name, purpose] += 1
            self._manager.reschedule(name, purpose)
            return
        reason = f"its process died {trial.num_failures} times: {cause_of_death(trial.error_file)}"
        if purpose == "test":
            self._tested(name, None, reason)
            return
        self._manager.run.attach_log(name, last_lines(failure_text(trial.error_file)))
        self._manager.failed(name, reason)
        self._show(trial)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        for line in self._manager.run.pop_messages():
            self._display.note(line)
        self._display.refresh()
        self._dispatcher.renew()
        self._kill_silent_processes()
        while self._ended:
            self._clean_up(self._ended.pop())
        if self._interrupt.is_set() or self._manager.run.abort_reason:
            raise KeyboardInterrupt

    def _kill_silent_processes(self) -> None:
        """Kill processes that hang or were stopped, after which Tune restarts their trials: Ray
        notices only processes that end."""
        timeout = self._manager.space.config.resources.report_timeout
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + SILENCE_CHECK
        for trial in self._running.values():
            actor = actor_of(trial)
            if (
                trial.status == "RUNNING"
                and actor is not None
                and now - self._last_result.get(trial.trial_id, now) > timeout
            ):
                del self._last_result[trial.trial_id]
                self._display.note(
                    f"{trial.config['trial']}: no report within `resources.report_timeout`"
                    f" ({timeout:g} s), its process is killed"
                )
                ray.kill(actor)

    def kill(self) -> None:
        """Kill the processes of all trials."""
        for trial in self._trials:
            if (actor := actor_of(trial)) is not None:
                ray.kill(actor)

    def _tested(
        self,
        name: str,
        metrics: dict[str, Any] | None,
        failed: str | None,
        predictions: dict[str, Any] | None = None,
    ) -> None:
        if metrics is not None:
            self._manager.run.attach_predictions(name, predictions)
        self._manager.tested(name, metrics)
        if metrics is None:
            self._display.note(f"the test of {name} failed: {failed}")
        self._display.refresh(force=True)

    def _show(self, trial: Any) -> None:
        if trial.config["purpose"] == "train":
            self._display.trial(self._manager.state.trials[trial.config["trial"]])


def failure_text(file: str | None) -> str:
    """The last failure in Tune's error file of a trial; empty where there is none."""
    if file is None or not Path(file).exists():
        return ""
    text = Path(file).read_text(encoding="utf-8", errors="replace")
    return text.rpartition("Failure # ")[2].partition("\n")[2].strip()


def cause_of_death(file: str | None) -> str:
    """The reason of the last failure in Tune's error file of a trial, without Ray's own names and
    numbers."""
    text = failure_text(file)
    if "Traceback" in text:
        return text.splitlines()[-1][:REASON_LENGTH]
    reason = " ".join(line for line in text.splitlines() if not line.startswith("\t"))
    for opening in (
        "The actor died unexpectedly before finishing this task. ",
        "Worker exit detail: ",
    ):
        reason = reason.rpartition(opening)[2]
    reason = reason.partition(" If the process was killed by the kernel")[0]
    return reason[:REASON_LENGTH] or "no reason given"
