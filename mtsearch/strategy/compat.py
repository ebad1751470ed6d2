"""Private APIs of Optuna, each in one function that says what it replaces.

`tests/strategy/test_optuna_compat.py` fails when a new version of Optuna changes one of them.
"""

from __future__ import annotations

import warnings
from typing import Any

import optuna
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial, Trial


def trial_id(trial: Trial | FrozenTrial) -> int:
    """The identifier of a trial in its storage. Replaces looking trials up by number, for which
    Optuna lists all trials."""
    return trial._trial_id


def frozen_trial(study: optuna.Study, identifier: int) -> FrozenTrial:
    """One trial as it is stored. Replaces `study.trials[number]`, which copies all trials."""
    return study._storage.get_trial(identifier)


def study_attrs(study: optuna.Study) -> dict[str, Any]:
    """What samplers store with the study: nsga2 and nsga3 the parents of each generation. Optuna
    has a public view of user attributes only."""
    return dict(study._storage.get_study_system_attrs(study._study_id))


def set_study_attr(study: optuna.Study, key: str, value: Any) -> None:
    """Store what `study_attrs` returns, for a study that is rebuilt."""
    study._storage.set_study_system_attr(study._study_id, key, value)


def set_trial_attr(study: optuna.Study, identifier: int, key: str, value: Any) -> None:
    """Store a system attribute with a trial. Replaces `Trial.set_constraint`, which
    optuna-dashboard does not read."""
    study._storage.set_trial_system_attr(identifier, key, value)


def share_search_space(sampler: Any, space: IntersectionSearchSpace) -> None:
    """Make a new nsga2 or nsga3 sampler use the search space of its predecessors. Replaces its own,
    which it would compute from all trials at every proposal."""
    assert isinstance(sampler._search_space, IntersectionSearchSpace)
    sampler._search_space = space


def quiet() -> warnings.catch_warnings[None]:
    """A context without warnings: Optuna warns at every use of what it calls experimental."""
    return warnings.catch_warnings(action="ignore")
