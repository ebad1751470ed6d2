"""Where the user expects good values of some dimensions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.dimensions import Dimension, label
from mtsearch.config.errors import BadInput
from mtsearch.config.space import Space
from mtsearch.strategy.encoding import Encoder
from mtsearch.strategy.start import find_dimension

Floats = NDArray[np.float64]
STRENGTH = 10.0  # the prior has weight pi(x) ^ (STRENGTH / trials so far)
SHARE = 0.5  # of the first trials that have the expected option of a choice


class Prior:
    """Normal densities about expected values, on the scale of each dimension, cut at its bounds.

    The first trials are drawn from it. Later its density, to the power `STRENGTH` / n after n
    trials, is a factor of a candidate's score, so that a wrong prior is forgotten (Hvarfner et al.
    2022, "piBO").

    Args:
        encoder: of the space.
        dimensions: those of the space.
        beliefs: by the path of a dimension the expected value (`around`) and how far from it good
            values may lie (`width`): a standard deviation, for a logarithmic dimension as a factor
            above 1. A choice has no width.
    """

    def __init__(
        self,
        encoder: Encoder,
        dimensions: Mapping[str, Dimension],
        beliefs: Mapping[str, tuple[Any, float | None]],
    ) -> None:
        self._encoder = encoder
        self._centres: dict[int, float] = {}
        self._spreads: dict[int, float | None] = {}
        for path, (around, width) in beliefs.items():
            one, column = dimensions[path], encoder.names.index(path)
            value = label(around) if one.kind == "choice" else around
            self._centres[column] = encoder.unit(path, value)
            self._spreads[column] = None if width is None else _spread(one, width)

    def draw(self, count: int, draw: np.random.Generator) -> Floats:
        """Points (count, width)."""
        points = draw.random((count, self._encoder.width))
        for column, centre in self._centres.items():
            spread = self._spreads[column]
            if spread is None:
                expected = draw.random(count) < SHARE
                points[expected, column] = centre
            else:
                # a draw beyond a bound is drawn again, at last uniformly
                for _ in range(8):
                    drawn = draw.normal(centre, spread, count)
                    inside = (drawn >= 0) & (drawn <= 1)
                    points[inside, column] = drawn[inside]
        return self._encoder.snap(points)

    def weight(self, units: Floats, trials: int) -> Floats:
        """The factor (n,) of the scores of candidates (n, width)."""
        logarithm = np.zeros(len(units))
        for column, centre in self._centres.items():
            spread = self._spreads[column]
            if spread is None:
                logarithm += np.where(units[:, column] == centre, 0.0, math.log(1 - SHARE))
            else:
                logarithm -= 0.5 * ((units[:, column] - centre) / spread) ** 2
        found: Floats = np.exp(np.maximum(logarithm * STRENGTH / max(trials, 1), -50.0))
        return found


def check_prior(space: Space) -> None:
    """Check `search.prior` against the dimensions. Raises BadInput."""
    for path, belief in space.config.search.prior.items():
        one, where = find_dimension(space, path, "search.prior"), f"`search.prior.{path}"
        if one.kind == "simplex":
            raise BadInput(f"{where}` is a simplex, for which there are no priors. Leave it out.")
        if one.kind == "choice":
            if label(belief.around) not in one.labels or belief.width is not None:
                raise BadInput(
                    f"{where}` should have `around`, one of {one.labels!r}, and no `width`. Found"
                    f" around {belief.around!r}, width {belief.width!r}."
                )
            continue
        low, high = one.spec
        if not isinstance(belief.around, int | float) or not low <= belief.around <= high:
            raise BadInput(f"{where}.around` should lie in {one.spec!r}. Found {belief.around!r}.")
        least = 1 if one.kind == "loguniform" else 0
        if belief.width is None or belief.width <= least:
            raise BadInput(f"{where}.width` should be above {least}. Found {belief.width!r}.")


def _spread(one: Dimension, width: float) -> float:
    low, high = one.spec
    if one.kind == "loguniform":
        return math.log(width) / math.log(high / low)
    return float(width / (high - low + (one.kind == "int")))
