"""The outputs of a network by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def named_outputs(outputs: Any) -> dict[str, Tensor]:
    """The tensors in what a network returned, by name.

    A tensor alone is `output`; entries of dicts have their key, those of tuples and lists their
    position, and nested ones the names on the way joined by dots.

    Raises:
        TypeError: something else than tensors, dicts, tuples and lists, or no tensor.
    """
    if isinstance(outputs, Tensor):
        return {"output": outputs}
    found = dict(_walk("", outputs))
    if not found:
        raise TypeError("The network should return at least one tensor. Found none.")
    return found


def _walk(prefix: str, value: Any) -> list[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        return [(prefix, value)]
    if value is None:
        return []
    if isinstance(value, Mapping):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        items = [(str(key), item) for key, item in enumerate(value)]
    else:
        raise TypeError(
            "The network should return tensors, or dicts, tuples and lists of them. Found"
            f" {type(value).__name__}."
        )
    return [
        pair for key, item in items for pair in _walk(f"{prefix}.{key}" if prefix else key, item)
    ]
