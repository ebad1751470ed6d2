"""Configurations of a space, conditional ones too, as rows of numbers in [0, 1]."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.dimensions import Dimension, label

Floats = NDArray[np.float64]
ABSENT = 0.5  # the coordinate of a parameter that a configuration does not have


class Encoder:
    """Maps between the parameters of trials and points of the unit cube.

    A number has one column, linear or logarithmic as the dimension says; a choice has one column,
    the middle of the option's interval, and is compared by equality; a simplex of K weights has
    K - 1 columns. A parameter that a configuration does not have is at `ABSENT`.

    Args:
        dimensions: those of the space; parents come before the dimensions inside their options.
    """

    def __init__(self, dimensions: Sequence[Dimension]) -> None:
        self._columns: list[tuple[str, Dimension]] = []
        for one in dimensions:
            if one.kind == "simplex":
                names = [f"{one.path}[{i}]" for i in range(len(one.spec) - 1)]
            else:
                names = [one.path]
            self._columns += [(name, one) for name in names]
        self._index = {name: i for i, (name, _) in enumerate(self._columns)}
        self.names = tuple(name for name, _ in self._columns)
        # options of each column, 0 for a continuous one
        self.options = np.array([_options(one) for _, one in self._columns], dtype=np.int64)
        self.categorical = np.array([one.kind == "choice" for _, one in self._columns], dtype=bool)

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self._columns)

    def encode(self, params: Mapping[str, Any]) -> Floats:
        """The point (width,) of a trial's parameters; a parameter that the space does not know is
        left out."""
        point = np.full(self.width, ABSENT)
        for i, (name, one) in enumerate(self._columns):
            if name in params:
                point[i] = _to_unit(one, params[name])
        found: Floats = self._mask(np.clip(point, 0.0, 1.0)[None])[0]
        return found

    def unit(self, name: str, value: Any) -> float:
        """The coordinate of a parameter's value."""
        return _to_unit(self._columns[self._index[name]][1], value)

    def decode(self, point: Floats) -> dict[str, Any]:
        """The parameters of a point (width,) that its configuration has."""
        present = self._present(point[None])[0]
        return {
            name: _from_unit(one, float(point[i]))
            for i, (name, one) in enumerate(self._columns)
            if present[i]
        }

    def snap(self, points: Floats) -> Floats:
        """The points (n, width) with whole numbers and choices at their options' middles, and
        absent parameters at `ABSENT`."""
        snapped = np.clip(points, 0.0, 1.0)
        discrete = self.options > 0
        count = self.options[discrete]
        index = np.minimum(np.floor(snapped[:, discrete] * count), count - 1)
        snapped[:, discrete] = (index + 0.5) / count
        return self._mask(snapped)

    def uniform(self, count: int, draw: np.random.Generator) -> Floats:
        """Random points (count, width)."""
        return self.snap(draw.random((count, self.width)))

    def perturb(self, points: Floats, scale: float, draw: np.random.Generator) -> Floats:
        """Each point (n, width) with about a third of its coordinates, and at least one, moved: a
        number by a normal step of `scale`, a choice to a random option, a whole number by at
        least one."""
        moved = draw.random(points.shape) < 0.35
        moved[np.arange(len(points)), draw.integers(self.width, size=len(points))] = True
        step = draw.normal(0.0, scale, points.shape)
        whole = (self.options > 0) & ~self.categorical
        least = np.where(whole, 1.0 / np.maximum(self.options, 1), 0.0)
        step = np.sign(step) * np.maximum(np.abs(step), least)
        stepped = points + step
        stepped = np.where(stepped < 0, -stepped, stepped)  # reflected at the bounds
        stepped = np.where(stepped > 1, 2 - stepped, stepped)
        stepped = np.where(self.categorical, draw.random(points.shape), stepped)
        # a parameter that appears with a new option of its parent is drawn
        absent = ~self._present(points)
        stepped = np.where(absent, draw.random(points.shape), stepped)
        return self.snap(np.where(moved | absent, stepped, points))

    def _present(self, points: Floats) -> NDArray[np.bool_]:
        present = np.ones(points.shape, dtype=bool)
        for i, (_, one) in enumerate(self._columns):
            for path, option in one.parents:
                parent = self._columns[self._index[path]][1]
                j = self._index[path]
                count = len(parent.spec)
                wanted = parent.labels.index(label(option))
                chosen = np.minimum(np.floor(points[:, j] * count), count - 1)
                present[:, i] &= present[:, j] & (chosen == wanted)
        return present

    def _mask(self, points: Floats) -> Floats:
        return np.where(self._present(points), points, ABSENT)


def _options(one: Dimension) -> int:
    if one.kind == "choice":
        return len(one.spec)
    return int(one.spec[1] - one.spec[0] + 1) if one.kind == "int" else 0


def _to_unit(one: Dimension, value: Any) -> float:
    if one.kind == "choice":
        keys = [json.dumps(text) for text in one.labels]
        key = json.dumps(value)
        return (keys.index(key) + 0.5) / len(keys) if key in keys else ABSENT
    if one.kind == "simplex":
        return float(value)
    low, high = one.spec
    if one.kind == "int":
        return float((value - low + 0.5) / (high - low + 1))
    if one.kind == "loguniform":
        return float(np.log(value / low) / np.log(high / low))
    return float((value - low) / (high - low))


def _from_unit(one: Dimension, unit: float) -> Any:
    if one.kind == "choice":
        return one.labels[min(int(unit * len(one.spec)), len(one.spec) - 1)]
    if one.kind == "simplex":
        return unit
    low, high = one.spec
    if one.kind == "int":
        return min(low + int(unit * (high - low + 1)), high)
    if one.kind == "loguniform":
        return float(min(max(low * (high / low) ** unit, low), high))
    return float(low + (high - low) * unit)
