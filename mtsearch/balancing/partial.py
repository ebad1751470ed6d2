"""Selecting and merging the state of a balancing method for some of its tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def select(
    state: Mapping[str, Any], axes: Mapping[str, int], tasks: Sequence[int]
) -> dict[str, Any]:
    """Return the part of a method's state that belongs to `tasks`.

    Args:
        state: the state over all K tasks.
        axes: for each entry with values per task, the number of leading axes over the tasks; other
            entries are shared.
        tasks: indices of the tasks, ascending.
    """
    return {key: _pick(value, axes.get(key, 0), list(tasks)) for key, value in state.items()}


def merge(
    state: Mapping[str, Any],
    part: Mapping[str, Any],
    axes: Mapping[str, int],
    tasks: Sequence[int],
    count: int,
) -> dict[str, Any]:
    """Return the state of `count` tasks with the values of `tasks` replaced by those of `part`. If
    `state` has no value yet, the other tasks get 0."""
    return {
        key: _put(state[key], value, axes.get(key, 0), list(tasks), count)
        for key, value in part.items()
    }


def _pick(value: Any, axes: int, tasks: list[int]) -> Any:
    if axes == 0 or value is None:
        return value
    if isinstance(value, Mapping):
        return {key: _pick(item, axes, tasks) for key, item in value.items()}
    if isinstance(value, Tensor):
        for axis in range(axes if value.dim() else 0):  # a count of steps has no axis
            value = value.index_select(axis, torch.tensor(tasks, device=value.device))
        return value
    if _is_list_of_numbers(value):
        return [value[task] for task in tasks]
    return [_pick(item, axes, tasks) for item in value]


def _put(value: Any, part: Any, axes: int, tasks: list[int], count: int) -> Any:
    if axes == 0 or part is None:
        return value if part is None else part
    if isinstance(part, Mapping):
        old = value or {}
        return {k: _put(old.get(k), item, axes, tasks, count) for k, item in part.items()}
    if isinstance(part, Tensor):
        if not part.dim():
            return part
        shape = (*[count] * axes, *part.shape[axes:])
        whole = part.new_zeros(shape) if value is None else value.to(part).clone()
        index = torch.tensor(tasks, device=part.device)
        whole[torch.meshgrid(*[index] * axes, indexing="ij")] = part
        return whole
    if _is_list_of_numbers(part):
        whole = [0.0] * count if value is None else list(value)
        for task, item in zip(tasks, part, strict=True):
            whole[task] = item
        return whole
    old = value or [None] * len(part)
    return [_put(a, b, axes, tasks, count) for a, b in zip(old, part, strict=True)]


def _is_list_of_numbers(values: Any) -> bool:
    return len(values) > 0 and all(isinstance(v, int | float) or v is None for v in values)
