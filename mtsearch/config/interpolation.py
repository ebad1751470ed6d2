"""Interpolation: ``${key.path}`` stands for the value of another key, and
``${preferences:K0,TASK,TASK}`` for a published list of preferences."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.preferences import task_preferences
from mtsearch.config.yaml_text import MAX_DEPTH, MAX_NODES, size_of

_MARK = re.compile(r"\$\{([^${}]*)\}")


def interpolate(tree: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A copy of a tree in which every ``${...}`` is replaced by what it stands for.

    Args:
        tree: a space's tree.
        name: of the space, for error sentences.

    Raises:
        BadInput: a key is not found, keys refer to each other in a circle, or the result has more
            than `MAX_NODES` values or `MAX_DEPTH` levels.
    """
    resolved = _Resolver(tree, name).resolve(tree, "")
    assert isinstance(resolved, dict)
    return resolved


class _Resolver:
    def __init__(self, tree: Mapping[str, Any], name: str) -> None:
        self._tree, self._name = tree, name
        self._active: list[str] = []  # the keys whose values are being found
        self._values: dict[str, Any] = {}
        self._nodes = 0

    def resolve(self, node: Any, path: str) -> Any:
        if isinstance(node, Mapping):
            return {
                key: self.resolve(value, f"{path}.{key}" if path else str(key))
                for key, value in node.items()
            }
        if isinstance(node, list):
            return [self.resolve(value, f"{path}[{i}]") for i, value in enumerate(node)]
        if not isinstance(node, str) or "${" not in node:
            return node
        if whole := _MARK.fullmatch(node):
            return self._value(whole[1].strip(), path)
        text = _MARK.sub(lambda found: self._text(found[1].strip(), path), node)
        if "${" in node and text == node:
            self._refuse(path, f"`{node}` is not a reference")
        return text

    def _text(self, reference: str, path: str) -> str:
        value = self._value(reference, path)
        if isinstance(value, dict | list) or value is None:
            self._refuse(path, f"`{reference}` is neither text nor a number")
        return str(value).lower() if isinstance(value, bool) else str(value)

    def _value(self, reference: str, path: str) -> Any:
        if reference not in self._values:
            if reference in self._active:
                self._refuse(path, f"`{reference}` refers to itself")
            if len(self._active) >= MAX_DEPTH:
                self._refuse(path, f"more than {MAX_DEPTH} keys refer to each other in a row")
            self._active.append(reference)
            self._values[reference] = self._find(reference, path)
            self._active.pop()
        value = self._values[reference]
        nodes, depth = size_of(value)
        self._nodes += nodes
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            self._refuse(path, f"the result has more than {MAX_NODES:,} values")
        return copy.deepcopy(value)

    def _find(self, reference: str, path: str) -> Any:
        function, sign, rest = reference.partition(":")
        if sign:
            arguments = [part.strip() for part in rest.split(",")]
            if function != "preferences" or len(arguments) != 3:
                self._refuse(path, f"`{reference}` is not a reference")
            try:
                return task_preferences(float(arguments[0]), arguments[1], arguments[2])
            except ValueError as error:
                self._refuse(path, str(error).rstrip("."))
        node: Any = self._tree
        for number, key in enumerate(reference.split(".")):
            if not isinstance(node, Mapping) or key not in node:
                known = [str(k) for k in node] if isinstance(node, Mapping) else []
                before = reference.split(".")[:number]
                prefix = "".join(f"{part}." for part in before)
                raise BadInput(
                    f"`{path}` cannot be resolved in {self._name}: there is no key `{reference}`."
                    f" {nearest(f'{prefix}{key}', [f'{prefix}{part}' for part in known])}"
                )
            node = node[key]
        return self.resolve(node, reference)

    def _refuse(self, path: str, reason: str) -> Any:
        raise BadInput(
            f"`{path}` cannot be resolved in {self._name}: {reason}. Write, for example,"
            " `${trial.batch_size}`."
        )
