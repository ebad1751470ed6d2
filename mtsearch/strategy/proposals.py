"""The parameters of one new trial: a draft by a sampler, repeated until it is a new
configuration."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial

from mtsearch.config.schema import Sampler
from mtsearch.config.space import Space
from mtsearch.strategy import compat
from mtsearch.strategy.curve_search import CurveSampler
from mtsearch.strategy.points import (
    IndependentSampler,
    PointSampler,
    combinations,
    configuration_key,
    qmc_point,
)

SAMPLER_ATTEMPTS = 8  # drafts by the search's sampler until a new configuration is found
RANDOM_ATTEMPTS = 32  # and at random, before configurations are enumerated


class TrialSuggest:
    """Draws parameters by the `suggest` methods of an Optuna trial, which store them."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def categorical(self, name: str, choices: list[Any]) -> Any:
        """One of `choices`."""
        return self._trial.suggest_categorical(name, choices)

    def uniform(self, name: str, low: float, high: float, log: bool = False) -> float:
        """A number of [low, high]."""
        return self._trial.suggest_float(name, low, high, log=log)

    def integer(self, name: str, low: int, high: int) -> int:
        """A whole number of [low, high]."""
        return self._trial.suggest_int(name, low, high)


class Draft:
    """Draws the parameters of a trial without storing them.

    It calls the sampler as `optuna.Trial` does, with the same values: Optuna cannot take back a
    parameter that was suggested once.
    """

    def __init__(
        self, study: optuna.Study, trial: FrozenTrial, sampler: optuna.samplers.BaseSampler
    ) -> None:
        sampler.before_trial(study, trial)
        self._study, self._trial, self._sampler = study, trial, sampler
        self._joint = sampler.infer_relative_search_space(study, trial)
        self._drawn = sampler.sample_relative(study, trial, self._joint)
        self.values: dict[str, Any] = {}

    def _draw(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._drawn and distribution == self._joint.get(name):
            value = self._drawn[name]
        else:
            value = self._sampler.sample_independent(self._study, self._trial, name, distribution)
        self.values[name] = value
        return value

    def categorical(self, name: str, choices: list[Any]) -> Any:
        """One of `choices`."""
        if len(choices) == 1:  # as in Optuna, nothing is drawn
            self.values[name] = choices[0]
            return choices[0]
        return self._draw(name, CategoricalDistribution(choices))

    def uniform(self, name: str, low: float, high: float, log: bool = False) -> float:
        """A number of [low, high]."""
        return float(self._draw(name, FloatDistribution(low, high, log=log)))

    def integer(self, name: str, low: int, high: int) -> int:
        """A whole number of [low, high]."""
        return int(self._draw(name, IntDistribution(low, high)))


class ReplaySampler(IndependentSampler):
    """Gives a trial the `values` that were found for it."""

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self.values = dict(values or {})

    def sample_independent(
        self, study: Any, trial: Any, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value of this name."""
        return self.values[param_name]


def new_parameters(
    study: optuna.Study,
    trial: FrozenTrial,
    space: Space,
    known: Collection[bytes],
    common: IntersectionSearchSpace,
    grid: list[list[int]] | None,
    curves: CurveSampler | None = None,
    given: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], bytes]:
    """Parameters by name whose configuration is not known, and its key.

    Those that are `given` come first. Then the search's sampler makes the first drafts, with a seed
    of (seed, number, attempt); then they are random; then configurations are enumerated, so that
    every space with a new configuration gives one. The result does not depend on the process.
    Raises RuntimeError where all configurations are known.

    Args:
        study: the study, with all earlier trials.
        trial: the new one, without parameters.
        space: what is searched.
        known: keys (`configuration_key`) of the configurations so far.
        common: the parameters that all trials share, for nsga2 and nsga3.
        grid: the points of a grid search.
        curves: the sampler `curves`.
        given: the parameters of an entry of `search.start`.
    """
    seed = space.config.search.seed
    if given is not None:
        first = Draft(study, trial, ReplaySampler(given))
        key = configuration_key(space, space.sample(first)[0])
        if key not in known:
            return first.values, key
    for sampler in _samplers(space.config.search.sampler, seed, trial.number, common, grid, curves):
        draft = Draft(study, trial, sampler)
        key = configuration_key(space, space.sample(draft)[0])
        if key not in known:
            return draft.values, key
    for tree, suggest in combinations(space, np.random.default_rng([seed, trial.number])):
        key = configuration_key(space, tree)
        if key not in known:
            return suggest.values, key
    raise RuntimeError(f"all {len(known)} configurations of the space have been proposed")


def _samplers(
    settings: Sampler,
    seed: int,
    number: int,
    common: IntersectionSearchSpace,
    grid: list[list[int]] | None,
    curves: CurveSampler | None,
) -> Iterator[optuna.samplers.BaseSampler]:
    """A new sampler for each attempt, seeded by (seed, number, attempt): Optuna's own random
    streams would restart when a study is reloaded."""
    attempts = 1 if settings.name in ("grid", "qmc") else SAMPLER_ATTEMPTS
    if settings.name == "curves":
        assert curves is not None
        for values in curves.propose(number):
            yield ReplaySampler(values)
    for attempt in range(attempts if settings.name != "curves" else 0):
        if settings.name == "grid":
            assert grid is not None
            yield PointSampler(grid[number % len(grid)], indices=True)
        elif settings.name == "qmc":
            yield PointSampler(qmc_point(seed, number))
        else:
            yield _model_sampler(settings, _seed(seed, number, attempt), common)
    for attempt in range(attempts, attempts + RANDOM_ATTEMPTS):
        yield optuna.samplers.RandomSampler(seed=_seed(seed, number, attempt))


def _seed(seed: int, number: int, attempt: int) -> int:
    entropy = [seed, number] if attempt == 0 else [seed, number, attempt]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def _model_sampler(
    settings: Sampler, seed: int, common: IntersectionSearchSpace
) -> optuna.samplers.BaseSampler:
    name, startup = settings.name, settings.startup
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if name == "tpe":
        return optuna.samplers.TPESampler(
            n_startup_trials=startup, multivariate=True, group=True, constant_liar=True, seed=seed
        )
    if name == "gp":
        return optuna.samplers.GPSampler(
            n_startup_trials=startup, independent_sampler=None, seed=seed
        )
    if name == "nsga2":
        genetic: optuna.samplers.BaseSampler = optuna.samplers.NSGAIISampler(
            population_size=startup, seed=seed
        )
    else:
        genetic = optuna.samplers.NSGAIIISampler(population_size=startup, seed=seed)
    compat.share_search_space(genetic, common)
    return genetic
