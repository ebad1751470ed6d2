"""Each private API of Optuna in `mtsearch.strategy.compat` behaves as expected."""

import warnings

import optuna
import pytest
from optuna.search_space import IntersectionSearchSpace
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from mtsearch.strategy import compat
from mtsearch.strategy.proposals import Draft, ReplaySampler


@pytest.fixture
def study(tmp_path):
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    return optuna.create_study(storage=storage, directions=["minimize", "minimize"])


def test_trial_is_found_by_its_identifier(study):
    first, second = study.ask(), study.ask()
    for trial in (first, second):
        assert compat.frozen_trial(study, compat.trial_id(trial)).number == trial.number
    assert [compat.trial_id(trial) for trial in study.trials] == [
        compat.trial_id(first),
        compat.trial_id(second),
    ]


def test_study_attributes_are_stored(study):
    assert compat.study_attrs(study) == {}
    compat.set_study_attr(study, "parents", [1, 2])
    assert compat.study_attrs(study) == {"parents": [1, 2]}


def test_listed_constraints_are_read_by_optuna(study):
    trial = study.ask()
    compat.set_trial_attr(study, compat.trial_id(trial), "constraints", [0.5, -1.0])
    study.tell(trial, [1.0, 2.0])
    assert study.trials[0].system_attrs["constraints"] == [0.5, -1.0]
    assert study.best_trials == []  # the trial is infeasible


@pytest.mark.parametrize("kind", [optuna.samplers.NSGAIISampler, optuna.samplers.NSGAIIISampler])
def test_genetic_sampler_uses_the_shared_search_space(study, kind):
    common = IntersectionSearchSpace()
    for _ in range(4):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        study.tell(trial, [0.0, 1.0])
    with compat.quiet():
        sampler = kind(population_size=2, seed=0)
    compat.share_search_space(sampler, common)
    trial = study.ask()
    found = sampler.infer_relative_search_space(study, study.trials[trial.number])
    assert list(found) == ["x"] == list(common.calculate(study))


def test_warnings_are_silenced():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with compat.quiet():
            warnings.warn("experimental", optuna.exceptions.ExperimentalWarning, stacklevel=1)
    assert caught == []


@pytest.mark.parametrize("name", ["tpe", "nsga2", "nsga3", "random"])
def test_draft_draws_what_an_optuna_trial_draws(study, name):
    def sampler(seed):
        return {
            "tpe": lambda: optuna.samplers.TPESampler(
                n_startup_trials=3, multivariate=True, group=True, constant_liar=True, seed=seed
            ),
            "nsga2": lambda: optuna.samplers.NSGAIISampler(population_size=3, seed=seed),
            "nsga3": lambda: optuna.samplers.NSGAIIISampler(population_size=3, seed=seed),
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        }[name]()

    def direct(trial):
        values = {"kind": trial.suggest_categorical("kind", ["a", "b"])}
        values["only"] = trial.suggest_categorical("only", [7])
        if values["kind"] == "a":
            values["rate"] = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
        return values | {"size": trial.suggest_int("size", 1, 9)}

    def drafted(draft):
        values = {"kind": draft.categorical("kind", ["a", "b"])}
        values["only"] = draft.categorical("only", [7])
        if values["kind"] == "a":
            values["rate"] = draft.uniform("rate", 1e-4, 1e-1, log=True)
        return values | {"size": draft.integer("size", 1, 9)}

    with compat.quiet():
        other = optuna.create_study(directions=["minimize", "minimize"])
        for number in range(12):
            other.sampler = sampler(number)
            trial = other.ask()
            expected = direct(trial)
            study.sampler = ReplaySampler()
            mine = study.ask()
            frozen = compat.frozen_trial(study, compat.trial_id(mine))
            draft = Draft(study, frozen, sampler(number))
            assert drafted(draft) == expected == draft.values
            study.sampler.values = draft.values
            assert direct(mine) == expected
            for one, told in ((other, trial), (study, mine)):
                one.tell(told, [expected["size"] * 1.0, number * 0.5])
