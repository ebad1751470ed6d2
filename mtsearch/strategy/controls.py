"""The trials of controls: one configuration each, or those of a searched control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from mtsearch.config.space import Space
from mtsearch.pareto.controls import best_candidate
from mtsearch.runs.state import RunState, TrialRecord
from mtsearch.strategy.points import PointSampler, configuration_key, qmc_point
from mtsearch.strategy.repeats import group, outcome

_DRAWS = 20  # points per configuration, of which most may be the same in a small space


class _PointSuggest:
    """Draws parameters from a point of the unit cube."""

    def __init__(self, point: Sequence[float]) -> None:
        self._sampler = PointSampler(point)

    def categorical(self, name: str, choices: list[Any]) -> Any:
        """One of `choices`."""
        return self._draw(name, CategoricalDistribution(choices))

    def uniform(self, name: str, low: float, high: float, log: bool = False) -> float:
        """A number of [low, high]."""
        return float(self._draw(name, FloatDistribution(low, high, log=log)))

    def integer(self, name: str, low: int, high: int) -> int:
        """A whole number of [low, high]."""
        return int(self._draw(name, IntDistribution(low, high)))

    def _draw(self, name: str, distribution: Any) -> Any:
        return self._sampler.sample_independent(None, None, name, distribution)


def control_trials(space: Space) -> dict[str, TrialRecord]:
    """The trials of all controls by name, in their order.

    A searched control `stl` has the trials `stl`, its own settings, and `stl.t01`, `stl.t02`, ...:
    different points of a low-discrepancy sequence, which depend on `search.seed` only, so that a
    resumed run has the same ones. A space with fewer configurations gives fewer.
    """
    found = {}
    for control, tree in space.controls.items():
        found[control] = TrialRecord(control, "control", control, tree, {}, {})
        if not space.is_searched(control):
            continue
        search = space.control_searches[control]
        known, number = {configuration_key(space, tree)}, 0
        for draw in range(_DRAWS * search.trials):
            if len(known) == search.trials:
                break
            point = qmc_point(space.config.search.seed, draw)
            drawn = space.sample_control(control, _PointSuggest(point))
            key = configuration_key(space, drawn)
            if key not in known:
                known.add(key)
                number += 1
                name = f"{control}.t{number:02d}"
                found[name] = TrialRecord(name, "control", control, drawn, {}, {})
    return found


def chosen_controls(
    state: RunState, trials: dict[str, TrialRecord], seeds: int
) -> list[TrialRecord]:
    """The finished trial of each control, sorted by the control's name; of a searched one the best
    so far by the mean error over its first `seeds` seeds."""
    tried: dict[str, list[str]] = {}
    for name, trial in trials.items():
        if name in state.trials and outcome(state, name, seeds).state == "done":
            tried.setdefault(str(trial.control), []).append(name)
    chosen = []
    for control in sorted(tried):
        best = best_candidate(
            {
                name: [
                    row.result
                    for trial in group(state, name)[:seeds]
                    if trial.state == "done"
                    for row in trial.rows
                ]
                for name in tried[control]
            }
        )
        if best is not None:
            chosen.append(state.trials[best])
    return [trial for trial in chosen if trial.kind == "control"]


def rejected_controls(
    state: RunState, trials: dict[str, TrialRecord], seeds: int, ended: TrialRecord
) -> list[str]:
    """The finished configurations of the control that `ended` is one of, but for the best."""
    if ended.kind != "control" or ended.state != "done":
        return []
    best = {chosen.trial for chosen in chosen_controls(state, trials, seeds)}
    return [
        name
        for name, tried in trials.items()
        if tried.control == ended.control
        and name not in best
        and name in state.trials
        and outcome(state, name, seeds).state == "done"
    ]
