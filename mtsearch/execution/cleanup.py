"""Letting go of what Tune keeps of ended trials: the run directory has it, and 10,000 of them would
fill the driver."""

from __future__ import annotations

from typing import Any


class TrialCleanup:
    """Empties Tune trials that ended of their jobs, their results, Tune's averages over these and a
    request of resources for each."""

    def __init__(self) -> None:
        self._request: Any = None

    def __call__(self, trial: Any) -> None:
        """Tune asks an ended trial for none of this any more; what it would write of it at the end
        goes to a folder that nobody reads."""
        trial.config.clear()
        trial.evaluated_params, trial._default_result_or_future = {}, None
        kept = trial.run_metadata
        kept.last_result, kept.metric_analysis, kept.metric_n_steps = {"done": True}, {}, {}
        trial._state_json = kept._cached_json = "{}"
        self._request = self._request or trial.placement_group_factory
        if trial.placement_group_factory == self._request:  # Tune made a copy for each trial
            trial.placement_group_factory = trial._default_placement_group_factory = self._request
