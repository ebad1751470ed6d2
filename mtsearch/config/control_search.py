"""The search dimensions of a searched control."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mtsearch.config.dimensions import (
    Dimension,
    bounds,
    dimensions_of,
    is_dimension,
    representative,
    resolve,
)
from mtsearch.config.errors import BadInput
from mtsearch.config.search import ControlSearch


def node_at(tree: Mapping[str, Any], path: str) -> Any:
    """The node of a tree at a dotted path; None where there is none."""
    node: Any = tree
    for key in path.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def searched_tree(
    tree: Mapping[str, Any],
    sources: Sequence[Mapping[str, Any]],
    search: ControlSearch,
    where: str,
    settings: object,
) -> dict[str, Any]:
    """The tree of a control with a search dimension at each path in `search.over`. A path that has
    one value in all sources keeps it, as the trials have no choice there either.

    Args:
        tree: of the control, without dimensions.
        sources: trees that may have the dimensions; the first one that has is used.
        search: of the control.
        where: the key path of the control, for the error sentence.
        settings: the validated settings of `tree`.

    Raises:
        BadInput: the control has no setting at one of the paths.
    """
    found = copy.deepcopy(dict(tree))
    for path in search.over:
        nodes = [node for source in sources if is_dimension(node := node_at(source, path))]
        *parents, leaf = path.split(".")
        place = node_at(found, ".".join(parents)) if parents else found
        if nodes and isinstance(place, dict):
            place[leaf] = copy.deepcopy(nodes[0])
            continue
        given = isinstance(place, dict) and leaf in place
        # a block that an override replaced leaves settings at their defaults
        if nodes or not (given or (parents and _has(settings, path))):
            raise BadInput(
                f"`{where}.search.over` names `{path}`, which is not a search dimension. Give"
                f" `trial.{path}` or `{where}.{path}` a range, or leave it out."
            )
    return found


def variants_of(tree: Mapping[str, Any], where: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The tree with each bound of each dimension, the others at representative values, and where it
    comes from as the end of an error sentence."""
    for target in dimensions_of(tree, where):
        for value in bounds(target):
            values = {**dict(target.parents), target.path: value}
            yield resolve(tree, where, _pick(values)), f" (as drawn from `{target.path}`)"


def _has(settings: object, path: str) -> bool:
    for name in path.split("."):
        if not hasattr(settings, name):
            return False
        settings = getattr(settings, name)
    return True


def _pick(values: Mapping[str, Any]) -> Callable[[Dimension], Any]:
    return lambda dimension: values.get(dimension.path, representative(dimension))
