"""Proposals that depend on the trial's number alone: grids and low-discrepancy points, for
conditional spaces too."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from scipy.stats import qmc

from mtsearch.config.errors import BadInput
from mtsearch.config.space import Space

MAX_DIMENSIONS = 256  # of a space under `qmc`


class PointSampler(optuna.samplers.BaseSampler):
    """Answers the k-th question of a trial with the k-th number of `point`: a coordinate in [0, 1),
    or for a grid an index."""

    def __init__(self, point: Sequence[float], *, indices: bool = False) -> None:
        self._point, self._indices, self._next = point, indices, 0

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, BaseDistribution]:
        """Nothing is sampled jointly: values are asked for one after another."""
        return {}

    def sample_relative(
        self, study: Any, trial: Any, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Empty, as `infer_relative_search_space`."""
        return {}

    def sample_independent(
        self, study: Any, trial: Any, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value for the next number of the point."""
        number = self._point[self._next]
        self._next += 1
        if self._indices:
            return _options(param_distribution)[int(number)]
        if isinstance(param_distribution, FloatDistribution):
            low, high = param_distribution.low, param_distribution.high
            return (
                low * (high / low) ** number
                if param_distribution.log
                else low + (high - low) * number
            )
        options = _options(param_distribution)
        return options[min(int(number * len(options)), len(options) - 1)]


def _options(distribution: BaseDistribution) -> Sequence[Any]:
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1)
    assert isinstance(distribution, CategoricalDistribution)
    return distribution.choices


def qmc_point(seed: int, number: int) -> list[float]:
    """Point `number` of a scrambled Sobol sequence: every leading part of the sequence fills the
    space evenly."""
    engine = qmc.Sobol(MAX_DIMENSIONS, scramble=True, rng=seed)
    if number:
        engine.fast_forward(number)
    return [float(min(u, math.nextafter(1.0, 0.0))) for u in engine.random(1)[0]]


class _Scripted:
    """A suggest that follows a path of option indices, then takes first options; it records how
    many options each question had."""

    def __init__(self, path: Sequence[int]) -> None:
        self.path, self.taken, self.counts = path, list[int](), list[int]()

    def _take(self, options: Sequence[Any]) -> Any:
        step = len(self.taken)
        self.taken.append(self.path[step] if step < len(self.path) else 0)
        self.counts.append(len(options))
        return options[self.taken[-1]]

    def categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._take(choices)

    def integer(self, name: str, low: int, high: int) -> int:
        return int(self._take(range(low, high + 1)))

    def uniform(self, name: str, low: float, high: float, log: bool = False) -> float:
        raise BadInput(
            f"`{name}` is continuous, which a grid cannot enumerate. Give it a `choice` of values"
            " or set another `search.sampler`."
        )


def grid(space: Space) -> Iterator[list[int]]:
    """All configurations of a space as paths of option indices, in a fixed order: the last
    dimension turns fastest. Raises BadInput."""
    for dimension in space.dimensions:
        if dimension.continuous:
            _Scripted([]).uniform(dimension.path, 0, 1)
    path: list[int] = []
    while True:
        script = _Scripted(path)
        space.sample(script)  # type: ignore[arg-type]
        yield script.taken
        path = list(script.taken)
        while path and path[-1] + 1 == script.counts[len(path) - 1]:
            path.pop()
        if not path:
            return
        path[-1] += 1
