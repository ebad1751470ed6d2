"""The control that derived metrics compare with, and objectives that a trial lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtsearch.config.schema import Objective
from mtsearch.pareto import DerivedMetrics
from mtsearch.runs.state import RunState, TrialRecord
from mtsearch.strategy.controls import chosen_controls
from mtsearch.strategy.journal import objective_values
from mtsearch.strategy.repeats import outcome


class ComparedControl:
    """Gives derived metrics the control of `val/delta_m` once all its configurations and seeds have
    ended.

    Args:
        derived: the metrics that compare.
        trials: the trials of all controls by name.
        seeds: of each trial of the search.
    """

    def __init__(
        self, derived: DerivedMetrics, trials: Mapping[str, TrialRecord], seeds: int
    ) -> None:
        self._derived, self._seeds = derived, seeds
        self._trials = {
            name: trial for name, trial in trials.items() if trial.control == derived.control
        }

    def update(self, state: RunState) -> None:
        """Compare with the best configuration of the control, the mean over its seeds."""
        if not self._derived.waits or not self._ended(state):
            return
        for chosen in chosen_controls(state, self._trials, self._seeds):
            self._derived.compare_with(outcome(state, chosen.trial, self._seeds).result)

    def failure(self, state: RunState) -> str | None:
        """Why `val/delta_m` can never be computed; None where the control may still finish."""
        if not self._derived.waits or not self._ended(state):
            return None
        name = str(self._derived.control)
        return (
            f"`val/delta_m` compares with control {name}, which failed:"
            f" {state.trials[name].reason}. Start a new run with another control, or without this"
            " metric."
        )

    def _ended(self, state: RunState) -> bool:
        return all(
            name in state.trials and outcome(state, name, self._seeds).state != "running"
            for name in self._trials
        )


def missing_objective(
    derived: DerivedMetrics,
    objectives: Sequence[Objective],
    trial: TrialRecord,
    metrics: Mapping[str, Any],
) -> str | None:
    """What is wrong with the first objective that a trial has no finite value of; None where it
    has all. A control may lack a comparison with the control that runs beside it."""
    for objective in objectives:
        compares = trial.kind == "control" and derived.needs_control(objective.metric)
        if objective_values((objective,), metrics) is None and not compares:
            return (
                derived.problem(objective.metric, metrics)
                or f"`{objective.metric}` is {metrics.get(objective.metric, 'missing')}"
            )
    return None
