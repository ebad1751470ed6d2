"""Points of a space that need no model: grids, low-discrepancy points and the enumeration of all
configurations, for conditional spaces too."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
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

MAX_DIMENSIONS = 256  # numbers that a trial of a `qmc` search may draw


class IndependentSampler(optuna.samplers.BaseSampler):
    """A sampler that draws every parameter alone."""

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, BaseDistribution]:
        """Empty: nothing is drawn jointly."""
        return {}

    def sample_relative(
        self, study: Any, trial: Any, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Empty, as in `infer_relative_search_space`."""
        return {}


class PointSampler(IndependentSampler):
    """Takes the k-th parameter of a trial from the k-th number of `point`: a coordinate in [0, 1),
    or for a grid the index of an option."""

    def __init__(self, point: Sequence[float], *, indices: bool = False) -> None:
        self._point, self._indices, self._next = point, indices, 0

    def sample_independent(
        self, study: Any, trial: Any, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value at the next number of the point."""
        number = self._point[self._next]
        self._next += 1
        if self._indices:
            return _options(param_distribution)[int(number)]
        if isinstance(param_distribution, FloatDistribution):
            low, high = param_distribution.low, param_distribution.high
            if param_distribution.log:
                return low * (high / low) ** number
            return low + (high - low) * number
        options = _options(param_distribution)
        return options[min(int(number * len(options)), len(options) - 1)]


def _options(distribution: BaseDistribution) -> Sequence[Any]:
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1)
    assert isinstance(distribution, CategoricalDistribution)
    return distribution.choices


def qmc_point(seed: int, number: int) -> list[float]:
    """Point `number` of a scrambled Sobol sequence, of shape (`MAX_DIMENSIONS`,) in [0, 1): every
    leading part of the sequence fills the space evenly."""
    engine = qmc.Sobol(MAX_DIMENSIONS, scramble=True, rng=seed)
    if number:
        engine.fast_forward(number)
    return [float(min(u, math.nextafter(1.0, 0.0))) for u in engine.random(1)[0]]


class PathSuggest:
    """Follows a path of option indices, then takes first options.

    Args:
        path: the index of the option of each discrete parameter, in the order in which they are
            drawn.
        draw: draws continuous parameters; None refuses them with BadInput.
    """

    def __init__(self, path: Sequence[int], draw: np.random.Generator | None = None) -> None:
        self._path, self._draw = path, draw
        self.taken: list[int] = []
        self.counts: list[int] = []  # options of each discrete parameter
        self.values: dict[str, Any] = {}

    def _take(self, name: str, options: Sequence[Any]) -> Any:
        step = len(self.taken)
        self.taken.append(self._path[step] if step < len(self._path) else 0)
        self.counts.append(len(options))
        self.values[name] = options[self.taken[-1]]
        return self.values[name]

    def categorical(self, name: str, choices: list[Any]) -> Any:
        """The option at the next index."""
        return self._take(name, choices)

    def integer(self, name: str, low: int, high: int) -> int:
        """The number at the next index."""
        return int(self._take(name, range(low, high + 1)))

    def uniform(self, name: str, low: float, high: float, log: bool = False) -> float:
        """A random number."""
        if self._draw is None:
            raise BadInput(
                f"`{name}` is continuous, which a grid cannot enumerate. Give it a `choice` of"
                " values or set another `search.sampler`."
            )
        share = float(self._draw.random())
        self.values[name] = low * (high / low) ** share if log else low + (high - low) * share
        return float(self.values[name])


def combinations(
    space: Space, draw: np.random.Generator | None = None
) -> Iterator[tuple[dict[str, Any], PathSuggest]]:
    """All combinations of the discrete parameters of a space, in a fixed order (the last one
    changes fastest), as the tree of the trial and the suggest that made it. `draw` as in
    `PathSuggest`. Raises BadInput."""
    path: list[int] = []
    while True:
        suggest = PathSuggest(path, draw)
        tree, _ = space.sample(suggest)
        yield tree, suggest
        path = list(suggest.taken)
        while path and path[-1] + 1 == suggest.counts[len(path) - 1]:
            path.pop()
        if not path:
            return
        path[-1] += 1


def grid(space: Space, most: int) -> list[list[int]]:
    """The first `most` different configurations of a space as paths of option indices, in a fixed
    order. Raises BadInput where a parameter is continuous, also one that few trials have."""
    for dimension in space.dimensions:
        if dimension.continuous:
            PathSuggest([]).uniform(dimension.path, 0, 1)
    found: dict[bytes, list[int]] = {}
    for tree, suggest in combinations(space):
        if len(found) == most:
            break
        found.setdefault(configuration_key(space, tree), suggest.taken)
    return list(found.values())


def configuration_key(space: Space, tree: Mapping[str, Any]) -> bytes:
    """A digest that two trees share when they make the same trial, its seed included."""
    canonical = space.trial(tree).model_dump(mode="json")
    return hashlib.sha256(json.dumps(canonical, sort_keys=True).encode()).digest()[:16]
