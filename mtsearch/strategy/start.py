"""Configurations that a search tries first: `search.start`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtsearch.config.dimensions import Dimension, break_points, label
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.space import Space
from mtsearch.strategy.children import check_children, parent_name

_PREFIX = "trial."


def find_dimension(space: Space, path: str, where: str) -> Dimension:
    """The dimension of this path, with or without `trial.` before it. Raises BadInput, which names
    the setting `where`."""
    by_path = {one.path: one for one in space.dimensions}
    found = by_path.get(path) or by_path.get(_PREFIX + path)
    if found is None:
        raise BadInput(
            f"`{where}` has `{path}`, which is not a search dimension."
            f" {nearest(path, tuple(by_path))}"
        )
    return found


def start_parameters(space: Space, number: int) -> dict[str, Any]:
    """The parameters by name of the configuration `search.start[number]`, those of options that it
    does not take included. Dimensions that it does not name have their defaults. Raises
    BadInput."""
    where = f"search.start[{number}]"
    given: dict[str, Any] = {}
    for path, value in space.config.search.start[number].items():
        one = find_dimension(space, path, where)
        _check(one, value, f"`{where}.{path}`")
        given[one.path] = value
    found: dict[str, Any] = {}
    for one in space.dimensions:
        value = given.get(one.path, one.default)
        if one.kind == "simplex":
            weights = [float(value[name]) for name in one.spec]
            cuts = break_points([weight / sum(weights) for weight in weights])
            found |= {f"{one.path}[{i}]": cut for i, cut in enumerate(cuts)}
        else:
            found[one.path] = label(value) if one.kind == "choice" else value
    return found


def _check(one: Dimension, value: Any, where: str) -> None:
    if one.kind == "choice":
        if label(value) not in one.labels:
            raise BadInput(f"{where} should be one of {one.labels!r}. Found {label(value)!r}.")
    elif one.kind == "simplex":
        if (
            not isinstance(value, Mapping)
            or set(value) != set(one.spec)
            or not all(isinstance(w, int | float) and w >= 0 for w in value.values())
            or sum(value.values()) <= 0
        ):
            raise BadInput(
                f"{where} should give a weight to each of {one.spec!r}. Found {value!r}."
            )
    else:
        whole = one.kind == "int"
        number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not number or not one.spec[0] <= value <= one.spec[1]:
            raise BadInput(
                f"{where} should be a {'whole ' if whole else ''}number in {one.spec!r}. Found"
                f" {value!r}."
            )


def check_start(space: Space) -> None:
    """Check every entry of `search.start`. Raises BadInput."""
    check_children(space)
    for number, entry in enumerate(space.config.search.start):
        if parent_name(entry) is not None:
            continue
        values = start_parameters(space, number)
        tree, _ = space.sample(GivenValues(values))
        space.trial(tree, where=f"search.start[{number}]")


class GivenValues:
    """Draws the given values."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def categorical(self, name: str, choices: list[Any]) -> Any:
        """The value of this name."""
        return self._values[name]

    def uniform(self, name: str, low: float, high: float, log: bool = False) -> float:
        """The value of this name."""
        return float(self._values[name])

    def integer(self, name: str, low: int, high: int) -> int:
        """The value of this name."""
        return int(self._values[name])
