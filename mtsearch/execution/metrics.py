"""Ray metrics of a search, for Ray's dashboard, Prometheus and Grafana. They are always on."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from ray.util.metrics import Counter, Gauge

from mtsearch.observers.base import figures
from mtsearch.runs.state import TrialRecord
from mtsearch.runs.status import SearchStatus

# seconds; Ray (2.60) drops a gauge that was not set for two export intervals of 10 s, so that
# values are set again although they have not changed
RENEWAL = 5.0
STATES = ("running", "done", "stopped", "failed", "waiting")

GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "mtsearch_trials": ("Trials and controls of the search by state", ("state",)),
    "mtsearch_front_size": ("Non-dominated trials", ()),
    "mtsearch_hypervolume": (
        "Hypervolume of the front, in the product of the objectives' units",
        (),
    ),
    "mtsearch_trial_examples_per_second": (
        "Training images per second of a running trial in its last report",
        ("trial",),
    ),
    "mtsearch_trial_gpu_memory_bytes": (
        "Peak GPU memory of tensors in the first worker of a running trial",
        ("trial",),
    ),
    "mtsearch_trial_epoch": ("Epochs that a running trial was trained", ("trial",)),
    "mtsearch_trial_objective": (
        "Objectives of a running trial's last report",
        ("trial", "objective"),
    ),
}
COUNTERS: dict[str, str] = {
    "mtsearch_examples_total": "Training images of all trials since the driver started",
    "mtsearch_reports_total": "Reports of all trials since the driver started",
}


class RayMetrics:
    """Gauges and counters with the labels of `GAUGES` and ``run``, set by the driver. A trial's own
    gauges end with the trial.

    The cost of a call does not depend on the number of trials: only running trials are kept.
    """

    def __init__(self, title: str, total: int, objectives: tuple[str, ...]) -> None:
        self._total, self._objectives = total, objectives
        self._gauges = {
            name: Gauge(name, text, ("run", *labels)) for name, (text, labels) in GAUGES.items()
        }
        self._counters = {name: Counter(name, text, ("run",)) for name, text in COUNTERS.items()}
        for metric in (*self._gauges.values(), *self._counters.values()):
            metric.set_default_tags({"run": title})
        self._status = SearchStatus({}, 0, math.nan)
        # by trial: values by (gauge, objective)
        self._running: dict[str, dict[tuple[str, str], float]] = {}
        # by trial: seconds and examples at its last report
        self._last: dict[str, tuple[float, float]] = {}
        self._due = 0.0

    def trial(self, trial: TrialRecord, status: SearchStatus) -> None:
        """A trial starts or continues."""
        last = trial.reports[max(trial.reports)] if trial.reports else {}
        self._running[trial.trial], self._last[trial.trial] = {}, _cost(last)
        self._set_status(status)

    def report(self, trial: TrialRecord, report: Mapping[str, Any]) -> None:
        """A running trial has reported."""
        seconds, examples = _cost(report)
        before = self._last.get(trial.trial, (0.0, 0.0))
        self._last[trial.trial] = seconds, examples
        values = self._running.setdefault(trial.trial, {})
        if seconds > before[0]:
            values["mtsearch_trial_examples_per_second", ""] = (examples - before[1]) / (
                seconds - before[0]
            )
        numbers = figures(report)
        if "epoch" in numbers:
            values["mtsearch_trial_epoch", ""] = numbers["epoch"]
        for name in self._objectives:
            if name in numbers:
                values["mtsearch_trial_objective", name] = numbers[name]
        self._counters["mtsearch_reports_total"].inc()
        if examples > before[1]:
            self._counters["mtsearch_examples_total"].inc(examples - before[1])
        self._set_trial(trial.trial)

    def memory(self, trial: str, size: float) -> None:
        """The peak GPU memory of a running trial, in bytes."""
        self._running.setdefault(trial, {})["mtsearch_trial_gpu_memory_bytes", ""] = size

    def ended(self, trial: TrialRecord, status: SearchStatus) -> None:
        """A trial has ended: its own gauges are not set any more."""
        self._running.pop(trial.trial, None)
        self._last.pop(trial.trial, None)
        self._set_status(status)

    def renew(self) -> None:
        """Set all current values again, every `RENEWAL` seconds."""
        if time.monotonic() >= self._due:
            self._set_status(self._status)
            for trial in self._running:
                self._set_trial(trial)
            self._due = time.monotonic() + RENEWAL

    def _set_status(self, status: SearchStatus) -> None:
        self._status = status
        for state in STATES:
            waiting = max(self._total - sum(status.states.values()), 0)
            self._set(
                "mtsearch_trials",
                waiting if state == "waiting" else status.states.get(state, 0),
                state=state,
            )
        self._set("mtsearch_front_size", status.front)
        if math.isfinite(status.hypervolume):
            self._set("mtsearch_hypervolume", status.hypervolume)

    def _set_trial(self, trial: str) -> None:
        for (name, objective), value in self._running[trial].items():
            self._set(name, value, trial=trial, **({"objective": objective} if objective else {}))

    def _set(self, name: str, value: float, **labels: str) -> None:
        if math.isfinite(value):
            self._gauges[name].set(value, labels)


def _cost(report: Mapping[str, Any]) -> tuple[float, float]:
    """Seconds and images that a trial has trained for up to a report."""
    return float(report.get("cost/seconds", 0.0)), float(report.get("cost/examples", 0))
