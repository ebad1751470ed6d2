"""Search dimensions: values of the trial's tree that a sampler draws.

A mapping is a dimension when it contains exactly one of ``choice``, ``uniform``, ``loguniform``,
``int``, ``simplex`` and, beside it, ``default``. An option of a choice may be a mapping with
dimensions of its own; these are drawn only when that option is.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from mtsearch.config.errors import BadInput, nearest

KINDS = ("choice", "uniform", "loguniform", "int", "simplex", "partition")
MAX_PARTS = 5  # 52 partitions; six parts have 203


class Suggest(Protocol):
    """A sampler's interface: each method draws the value of a named parameter."""

    def categorical(self, name: str, choices: list[Any]) -> Any: ...

    def uniform(self, name: str, low: float, high: float, log: bool = False) -> float: ...

    def integer(self, name: str, low: int, high: int) -> int: ...


def is_dimension(node: Any) -> bool:
    """Whether a node of the tree is a search dimension, or a mistyped one, for which
    `parse_dimension` raises."""
    if not isinstance(node, Mapping):
        return False
    rest = [value for key, value in node.items() if key != "default"]
    if len(rest) == 1 and isinstance(rest[0], list):
        return len(node) == 2 or bool(
            difflib.get_close_matches(str(next(iter(node))), KINDS, n=1, cutoff=0.75)
        )
    return any(kind in node for kind in KINDS)


def label(option: Any) -> Any:
    """The value of an option of a choice in the study: the option itself, or a text for a mapping
    or list."""
    if isinstance(option, Mapping):
        tag = option.get("name", option.get("mode"))
        if tag is not None and not isinstance(tag, Mapping):
            return str(tag)
        if all(isinstance(v, int | float) for v in option.values()):
            return ",".join(f"{k}={v:.6g}" for k, v in option.items())
        return json.dumps(option, sort_keys=True)
    if isinstance(option, list | tuple):
        return json.dumps(option)
    return option


@dataclass(frozen=True)
class Dimension:
    """One search dimension at the key path `path`, of a `kind` in `KINDS`.

    `parents` are the options, by the path of their choice, in which this dimension is nested: it
    exists only in trials that draw them.
    """

    path: str
    kind: str
    spec: Any
    default: Any
    parents: tuple[tuple[str, Any], ...] = ()

    @property
    def labels(self) -> list[Any]:
        """The labels of a choice's options, in order."""
        return [label(option) for option in self.spec]

    def option(self, chosen: Any) -> Any:
        """The option of a choice with this label."""
        return self.spec[self.labels.index(chosen)]

    def draw(self, suggest: Suggest) -> Any:
        """A value from the sampler. A choice yields its option unresolved; the simplex yields a
        mapping that sums to 1."""
        if self.kind == "choice":
            return self.option(suggest.categorical(self.path, self.labels))
        if self.kind == "int":
            return suggest.integer(self.path, self.spec[0], self.spec[1])
        if self.kind == "simplex":
            cuts = [
                suggest.uniform(f"{self.path}[{i}]", 0.0, 1.0) for i in range(len(self.spec) - 1)
            ]
            return dict(zip(self.spec, stick_breaking(cuts), strict=True))
        return suggest.uniform(self.path, self.spec[0], self.spec[1], log=self.kind == "loguniform")

    @property
    def continuous(self) -> bool:
        """Whether a grid cannot enumerate it."""
        return self.kind in ("uniform", "loguniform", "simplex")


def parse_dimension(path: str, node: Mapping[str, Any]) -> Dimension:
    """Check one dimension's mapping and return it. Raises BadInput with the key path."""
    kinds = [kind for kind in KINDS if kind in node]
    for key in node:
        if key not in (*KINDS, "default"):
            raise BadInput(
                f"`{path}` is a search dimension with an unknown key `{key}`."
                f" {nearest(key, (*KINDS, 'default'))}"
            )
    if len(kinds) != 1:
        raise BadInput(
            f"`{path}` should have exactly one of {', '.join(KINDS)}. Found {', '.join(kinds)}."
        )
    kind = kinds[0]
    if kind == "partition":
        return parse_dimension(path, _partitions(path, node))
    spec = node[kind]
    if "default" not in node:
        raise BadInput(
            f"`{path}` is a search dimension without `default`. Add the value that a single"
            " training uses, such as `default: ...`."
        )
    default = node["default"]
    where = f"`{path}.{kind}`"
    if kind in ("uniform", "loguniform", "int"):
        numbers = int if kind == "int" else (int, float)
        if not (
            isinstance(spec, list)
            and len(spec) == 2
            and all(isinstance(v, numbers) and not isinstance(v, bool) for v in spec)
        ):
            raise BadInput(
                f"{where} should be two {'whole ' if kind == 'int' else ''}numbers [low, high]."
                f" Found {spec!r}."
            )
        if spec[0] >= spec[1]:
            raise BadInput(f"{where} should rise from low to high. Found {spec!r}.")
        if kind == "loguniform" and spec[0] <= 0:
            raise BadInput(f"{where} should start above 0. Found {spec!r}.")
        if not isinstance(default, int | float) or not spec[0] <= default <= spec[1]:
            raise BadInput(f"`{path}.default` should lie in {spec!r}. Found {default!r}.")
    elif not isinstance(spec, list) or not spec:
        raise BadInput(f"{where} should be a list that is not empty. Found {spec!r}.")
    elif kind == "choice":
        labels = [label(option) for option in spec]
        if len(set(map(str, labels))) < len(labels):
            raise BadInput(f"{where} should list options with different names. Found {labels!r}.")
        if label(default) not in labels:
            raise BadInput(
                f"`{path}.default` should be one of {labels!r}. Found {label(default)!r}."
            )
        option = spec[labels.index(label(default))]
        if (
            isinstance(default, Mapping)
            and {"name", "mode"} & set(default)
            and len(default) > 1
            and default != option
        ):
            raise BadInput(
                f"`{path}.default` should be an option as it is, or its name alone: its settings"
                f" would not be used. Found {dict(default)!r}, where the option is {option!r}."
                f" Write `default: {label(default)}` and set that."
            )
    else:
        if len(spec) < 2 or not all(isinstance(name, str) for name in spec):
            raise BadInput(f"{where} should list at least two task names. Found {spec!r}.")
        if default == "equal":
            default = {name: 1 / len(spec) for name in spec}
        if not isinstance(default, Mapping) or set(default) != set(spec):
            raise BadInput(
                f"`{path}.default` should be `equal` or give a weight to each of {spec!r}. Found"
                f" {default!r}."
            )
        default = dict(default)
    return Dimension(path, kind, spec, default)


def _partitions(path: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """A partition as the choice among all partitions of its parts; a part is a task, or a list of
    tasks that stay together."""
    spec = node["partition"]
    parts = (
        [[part] if isinstance(part, str) else part for part in spec]
        if isinstance(spec, list)
        else []
    )
    names = (
        [name for part in parts for name in part]
        if all(
            isinstance(part, list) and part and all(isinstance(name, str) for name in part)
            for part in parts
        )
        else []
    )
    if not 2 <= len(parts) <= MAX_PARTS or not names or len(set(names)) < len(names):
        raise BadInput(
            f"`{path}.partition` should list 2 to {MAX_PARTS} different tasks, or lists of tasks"
            f" that stay together. Found {spec!r}."
        )
    partitions: list[list[list[list[str]]]] = [[]]
    for part in parts:
        partitions = [
            [*(group for group in groups[:i]), [*groups[i], part], *groups[i + 1 :]]
            if i < len(groups)
            else [*groups, [part]]
            for groups in partitions
            for i in range(len(groups) + 1)
        ]
    options = [
        [[name for part in group for name in part] for group in groups] for groups in partitions
    ]
    default = node.get("default", "together")
    words = {"together": options[0], "apart": options[-1]}
    if isinstance(default, str) and default not in words:
        raise BadInput(
            f"`{path}.default` should be together, apart or groups of tasks. Found {default!r}."
        )
    chosen = words.get(default, default) if isinstance(default, str) else default
    return {"choice": options, "default": chosen}


def resolve(node: Any, path: str, pick: Callable[[Dimension], Any]) -> Any:
    """The tree with every dimension replaced by the value that `pick` returns for it. Dimensions
    inside a picked option are resolved, too.

    A dimension inside the option `b` of the choice at `a` is named ``a@b.key``, so equal keys of
    different options stay apart.
    """
    if is_dimension(node):
        dimension = parse_dimension(path, node)
        value = pick(dimension)
        return (
            resolve(value, f"{path}@{label(value)}", pick) if dimension.kind == "choice" else value
        )
    if isinstance(node, Mapping):
        return {
            key: resolve(value, f"{path}.{key}" if path else str(key), pick)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [resolve(value, f"{path}[{i}]", pick) for i, value in enumerate(node)]
    return node


def default_of(dimension: Dimension) -> Any:
    """The default of a dimension; for a choice, the option itself."""
    return (
        dimension.option(label(dimension.default))
        if dimension.kind == "choice"
        else dimension.default
    )


def representative(dimension: Dimension) -> Any:
    """The value of a dimension while other dimensions are checked: its default, or unequal weights
    for a preference, because nearly all draws are unequal."""
    if dimension.kind == "simplex" and len(dimension.default) > 1:
        first, *rest = dimension.default
        return {
            first: 0.5 + 0.5 / (len(rest) + 1),
            **{name: 0.5 / (len(rest) + 1) for name in rest},
        }
    if dimension.path == "trial.preference" and dimension.kind == "choice":
        return next(
            (o for o in dimension.spec if isinstance(o, Mapping) and len(set(o.values())) > 1),
            default_of(dimension),
        )
    return default_of(dimension)


def bounds(dimension: Dimension) -> list[Any]:
    """The values of a dimension that are checked: a choice's options, both bounds of a range, and
    representative weights for a simplex."""
    return [representative(dimension)] if dimension.kind == "simplex" else list(dimension.spec)


def dimensions_of(
    node: Any, path: str, parents: tuple[tuple[str, Any], ...] = ()
) -> Iterator[Dimension]:
    """All dimensions below a node, including those inside options."""
    if is_dimension(node):
        dimension = replace(parse_dimension(path, node), parents=parents)
        yield dimension
        if dimension.kind == "choice":
            for option in dimension.spec:
                yield from dimensions_of(
                    option, f"{path}@{label(option)}", (*parents, (path, option))
                )
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from dimensions_of(value, f"{path}.{key}" if path else str(key), parents)
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from dimensions_of(value, f"{path}[{i}]", parents)


def stick_breaking(cuts: list[float]) -> list[float]:
    """K weights on the simplex from K - 1 numbers in [0, 1]. Independent uniform numbers give the
    uniform distribution on the simplex.

    Piece i takes the fraction 1 - (1 - u_i)^(1 / (K - 1 - i)) of what is left (its Beta(1, K - 1 -
    i) quantile).
    """
    left, pieces = 1.0, []
    for i, u in enumerate(cuts):
        piece = left * (1 - (1 - u) ** (1 / (len(cuts) - i)))
        pieces.append(piece)
        left -= piece
    return [*pieces, max(left, 0.0)]


def break_points(weights: list[float]) -> list[float]:
    """The inverse of `stick_breaking`: the K - 1 numbers of K weights; 0 where the remaining weight
    is 0."""
    left, cuts = 1.0, []
    for i, weight in enumerate(weights[:-1]):
        fraction = min(weight / left, 1.0) if left > 0 else 0.0
        cuts.append(1 - (1 - fraction) ** (len(weights) - 1 - i))
        left -= weight
    return cuts
