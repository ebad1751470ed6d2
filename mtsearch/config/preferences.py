"""Preferences: the check that they name a dataset's tasks, and the fixed lists of the published
Pareto study (Hotegni et al. 2024), by formula."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mtsearch.config.errors import BadInput


def check_preference(where: str, preference: Any, tasks: Sequence[str], dataset: str) -> None:
    """A preference, where one is given, weighs each task and nothing else. Raises BadInput."""
    if isinstance(preference, Mapping) and set(preference) != set(tasks):
        found = ", ".join(map(str, preference)) or "none"
        raise BadInput(
            f"`{where}` should give a weight to each task of {dataset}: {', '.join(tasks)}. Found"
            f" {found}."
        )


def simplex_grid(count: int, most: int) -> list[tuple[float, ...]]:
    """The weights of `count` tasks on the largest regular grid of the simplex with at most `most`
    points: all multiples of 1/d that sum to 1, by ascending first weight, then the second.

    Raises:
        ValueError: `most` is smaller than `count`, the number of vertices.
    """
    if most < count:
        raise ValueError(f"Parameter `most` should be at least {count}. Found `most = {most}`.")
    divisions = 1
    while math.comb(divisions + count, count - 1) <= most and count > 1:
        divisions += 1
    return [tuple(n / divisions for n in parts) for parts in _compositions(divisions, count)]


def _compositions(total: int, count: int) -> list[tuple[int, ...]]:
    """All `count` natural numbers with this sum, in lexicographic order."""
    if count == 1:
        return [(total,)]
    return [
        (first, *rest)
        for first in range(total + 1)
        for rest in _compositions(total - first, count - 1)
    ]


def preference_list(k0: float) -> list[tuple[float, float, float]]:
    """Vectors (k0, k1, k2) that sum to 1, for k0 in {0, 0.1, 0.01, 0.001, 0.0001}: 19, 17, 18, 18
    and 18 of them.

    For 0 and 0.1, k1 runs over multiples of 0.05; for the smaller ones k1 or k2 is a multiple of
    0.1.
    """
    if k0 in (0, 0.1):
        total = 1 - k0
        count = round(total / 0.05) - 1
        return [(k0, round(0.05 * i, 10), round(total - 0.05 * i, 10)) for i in range(1, count + 1)]
    if k0 not in (0.01, 0.001, 0.0001):
        raise ValueError(
            f"Parameter `k0` should be one of 0, 0.1, 0.01, 0.001, 0.0001. Found `k0 = {k0}`."
        )
    tenths = [i / 10 for i in range(1, 10)]
    first = [(k0, round(b - k0, 10), round(1 - b, 10)) for b in tenths]
    second = [(k0, round(1 - b, 10), round(b - k0, 10)) for b in tenths]
    return sorted(first + second, key=lambda k: k[1])


def task_preferences(k0: float, first: str, second: str) -> list[dict[str, float]]:
    """The same lists as preferences over two named tasks: (k1, k2) / (1 - k0)."""
    return [{first: k1 / (1 - k0), second: 1 - k1 / (1 - k0)} for _, k1, _ in preference_list(k0)]
