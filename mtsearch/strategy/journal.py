"""The Optuna study of a run in its journal, which is rebuilt from the events where it is lost or
damaged."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import json_to_distribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mtsearch.config.lineage import parent_of
from mtsearch.config.schema import Objective, SpaceConfig
from mtsearch.pareto import constraint_excess
from mtsearch.runs.events import cut_torn_line
from mtsearch.runs.state import RunState, TrialRecord
from mtsearch.strategy import compat
from mtsearch.strategy.repeats import outcome

_DIRECTIONS = {"min": StudyDirection.MINIMIZE, "max": StudyDirection.MAXIMIZE}
UNUSABLE = "an objective or constraint is missing or not finite"


def open_study(path: Path, config: SpaceConfig, state: RunState) -> optuna.Study:
    """The study in the journal at `path` where it agrees with the events, else a new one made from
    them; the old journal is kept under another name."""
    if path.exists():
        cut_torn_line(path)
        study = _load(path, config)
        if study is not None and _agrees(study, state):
            return study
        path.rename(path.with_name(f"study.journal.damaged-{time.time_ns()}"))
    study = _load(path, config)
    assert study is not None
    for trial in search_trials(state):
        study.add_trial(_frozen(outcome(state, trial.trial, config.search.repeats), config))
        for key, value in trial.study["shared"].items():
            compat.set_study_attr(study, key, value)
    return study


def search_trials(state: RunState) -> list[TrialRecord]:
    """The trials that the study has proposed, by number: no controls and no repeats."""
    return [trial for trial in state.sorted() if trial.kind == "search" and not trial.repeat]


class _NoLock(JournalFileOpenLock):
    """No lock: the lock of the run's driver excludes other writers.

    Optuna's own is a symbolic link beside the journal. Readers of the run would refuse it as a
    foreign link, and a killed driver would leave it behind.
    """

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _load(path: Path, config: SpaceConfig) -> optuna.Study | None:
    with compat.quiet():
        try:
            storage = JournalStorage(JournalFileBackend(str(path), lock_obj=_NoLock(str(path))))
            if storage.get_all_studies():  # `create_study` would write to the journal in any case
                return optuna.load_study(study_name=config.name, storage=storage)
            directions = [_DIRECTIONS[o.goal] for o in config.objectives]
            return optuna.create_study(
                storage=storage, study_name=config.name, directions=directions
            )
        except Exception:  # whatever the damage is: the study can be rebuilt
            if path.stat().st_size == 0:
                raise
            return None


def _agrees(study: optuna.Study, state: RunState) -> bool:
    trials = search_trials(state)
    stored = study.get_trials(deepcopy=False)
    return len(trials) == len(stored) and all(
        frozen.params == trial.study["params"]
        and not (frozen.state.is_finished() and trial.state == "running")
        for frozen, trial in zip(stored, trials, strict=True)
    )


def _frozen(trial: TrialRecord, config: SpaceConfig) -> FrozenTrial:
    """A trial of the events as Optuna stores it."""
    kept, outcome = trial.study, outcome_of(trial, config)
    distributions = kept["distributions"].items()
    with compat.quiet():
        return optuna.trial.create_trial(
            state=outcome.state,
            values=outcome.values,
            params=kept["params"],
            distributions={name: json_to_distribution(text) for name, text in distributions},
            system_attrs={**kept["system"], **outcome.system},
            user_attrs=outcome.user,
        )


class TrialOutcome:
    """What the study stores of a trial: its state, values, and system and user attributes."""

    def __init__(
        self,
        state: TrialState,
        values: list[float] | None = None,
        user: Mapping[str, Any] | None = None,
        system: Mapping[str, Any] | None = None,
    ) -> None:
        self.state, self.values = state, values
        self.user, self.system = dict(user or {}), dict(system or {})


def outcome_of(trial: TrialRecord, config: SpaceConfig) -> TrialOutcome:
    """The outcome of a trial: COMPLETE where it is done and its objectives and constraints are
    finite, PRUNED where the scheduler stopped it, RUNNING, or FAIL, also of a trial that began with
    the weights of another one."""
    result = trial.result
    if trial.state == "running":
        return TrialOutcome(TrialState.RUNNING)
    if (parent := parent_of(trial.config)) is not None:
        # its values are not those of its parameters alone, so no sampler may learn from it
        return TrialOutcome(TrialState.FAIL, user={"reason": f"began with the weights of {parent}"})
    if trial.state == "stopped":
        # Optuna stores no values of a pruned trial, and those of a part of a training are not
        # comparable.
        partial = {f"partial {o.metric}": result.get(o.metric) for o in config.objectives}
        return TrialOutcome(TrialState.PRUNED, user={"reason": trial.reason, **partial})
    values = objective_values(config.objectives, result) if trial.state == "done" else None
    excess = constraint_excess([result], config.constraints)[0]
    if values is None or not np.isfinite(excess).all():
        return TrialOutcome(TrialState.FAIL, user={"reason": trial.reason or UNUSABLE})
    names = [
        f"{c.metric} {'<=' if c.max is not None else '>='} {c.min if c.max is None else c.max:g}"
        for c in config.constraints
    ]
    # optuna-dashboard (0.21) reads constraints as one list without names
    system = {"constraints": excess.tolist()} if names else {}
    return TrialOutcome(
        TrialState.COMPLETE, values, dict(zip(names, excess.tolist(), strict=True)), system
    )


def objective_values(
    objectives: tuple[Objective, ...], metrics: Mapping[str, Any]
) -> list[float] | None:
    """The objectives in their order; None where one is missing or not finite."""
    values = [metrics.get(o.metric) for o in objectives]
    numbers = [float(v) for v in values if isinstance(v, int | float) and np.isfinite(v)]
    return numbers if len(numbers) == len(values) else None
