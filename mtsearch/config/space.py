"""A space: a tree becomes a validated search."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtsearch.config.balancing import equal, takes_preference
from mtsearch.config.cards import DatasetCard
from mtsearch.config.control_search import node_at, searched_tree, variants_of
from mtsearch.config.dimensions import (
    Dimension,
    Suggest,
    bounds,
    default_of,
    dimensions_of,
    is_dimension,
    label,
    representative,
    resolve,
)
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.metrics import DELTA_M, LATENCY, metric_of, metrics_of
from mtsearch.config.objectives import check_metrics
from mtsearch.config.plugins import absolute_plugins, load_plugins
from mtsearch.config.preferences import check_preference
from mtsearch.config.registry import methods, tag_of
from mtsearch.config.schema import ControlSearch, SpaceConfig, TrialConfig
from mtsearch.config.secrets import refuse_secrets
from mtsearch.config.validation import validate_tree
from mtsearch.config.yaml_text import dump_yaml, parse_yaml

_CACHED = 256  # validated configurations that a space keeps
_NAMED = (
    "architecture",
    "backbone",
    "balancing",
    "task_schedule",
    "sparsity",
    "population",
    "pareto_set",
    "formulation",
    "optimizer",
    "lr_schedule",
    "sampler",
    "scheduler",
)


def merge(base: Mapping[str, Any], over: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """`over` merged into `base`, as a new tree. Mappings are merged key by key. An empty mapping, a
    search dimension and a method with another name replace the old value."""
    out = dict(base)
    for key, value in over.items():
        where = f"{path}.{key}" if path else key
        old = out.get(key)
        tag = tag_of(key)
        if isinstance(value, str) and key in _NAMED:
            value = {tag: value}
        if isinstance(old, str) and key in _NAMED:
            old = {tag: old}
        if not isinstance(value, Mapping) or not value or is_dimension(value):
            out[key] = copy.deepcopy(value)
        elif is_dimension(old):
            if tag not in value and key in _NAMED:
                raise BadInput(
                    f"`{where}` is a search dimension, so `{where}.{next(iter(value))}` cannot be"
                    f" set alone. Set `{where}` as a whole."
                )
            out[key] = copy.deepcopy(dict(value))
        elif isinstance(old, Mapping) and (tag not in value or value[tag] == old.get(tag)):
            out[key] = merge(dict(old), value, where)
        else:
            out[key] = copy.deepcopy(dict(value))
    return out


class Space:
    """A validated search.

    Attributes:
        raw: the merged tree.
        config: everything but the search dimensions, validated.
        tree: the tree of `trial` with its search dimensions.
        dimensions: the search dimensions below `trial`.
        defaults: the tree of `trial` with each dimension at its default.
        controls: the trees of the fixed configurations that are trained beside the search.
        control_searches: the searches of controls that have one.
    """

    def __init__(self, raw: Mapping[str, Any]) -> None:
        """Load the plug-ins of a merged tree, as a YAML file holds it, and validate it.

        Raises:
            BadInput: the tree is not valid, or a text in it contains a secret.
        """
        raw = dict(raw)
        refuse_secrets(raw)
        if "plugins" in raw:
            raw["plugins"] = absolute_plugins(raw["plugins"])
        load_plugins(raw.get("plugins", ()))
        raw["objectives"] = [_objective(entry) for entry in _list(raw, "objectives")]
        self.raw = raw
        self._trials: dict[str, TrialConfig] = {}
        self._refuse_misplaced()
        self.config: SpaceConfig = validate_tree(SpaceConfig, raw, "")
        self.tree: dict[str, Any] = dict(self.config.trial)
        self.dimensions: list[Dimension] = list(dimensions_of(self.tree, "trial"))
        self.defaults: dict[str, Any] = resolve(self.tree, "trial", default_of)
        self._check_values()
        self.controls: dict[str, dict[str, Any]] = {}
        self.control_searches: dict[str, ControlSearch] = {}
        self._control_trees: dict[str, dict[str, Any]] = {}
        for name in self.config.controls:
            try:
                self.controls[name] = self._control(name)
            except BadInput as error:
                raise BadInput(f"{error} {self.removal_hint(name)}") from None
        names = [o.metric for o in self.config.objectives]
        if len(set(names)) < len(names):
            raise BadInput(f"`objectives` should name each metric once. Found {', '.join(names)}.")
        if not names:
            raise BadInput(
                "`objectives` should name at least one metric. Found none. Add, for example,"
                " `val/image/error`."
            )

    # ------------------------------------------------------------ trials

    def sample(self, suggest: Suggest) -> tuple[dict[str, Any], dict[str, Any]]:
        """One configuration of `trial`, with the parameters that were drawn (by dimension name)."""
        params: dict[str, Any] = {}

        def pick(dimension: Dimension) -> Any:
            value = dimension.draw(suggest)
            params[dimension.path] = label(value)
            return value

        return resolve(self.tree, "trial", pick), params

    def combine(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The tree of a trial with these values, by the paths of their dimensions, and the other
        dimensions at representative values."""

        def pick(dimension: Dimension) -> Any:
            path = dimension.path
            return values[path] if path in values else representative(dimension)

        return resolve(self.tree, "trial", pick)  # type: ignore[no-any-return]

    def removal_hint(self, control: str) -> str:
        """The end of a sentence that refuses a control: how to search without it."""
        compared = (
            " delta_m=null"
            if self.config.delta_m == control and len(self.config.controls) > 1
            else ""
        )
        return f"Fix the control, or leave it out with `controls.{control}=null{compared}`."

    def trial(
        self, tree: Mapping[str, Any] | None = None, where: str = "trial", note: str = ""
    ) -> TrialConfig:
        """The validated configuration of one trial. Those of the last trees are kept.

        Args:
            tree: of the trial; None for the defaults.
            where: the key path of the tree, for the error sentence.
            note: the end of the error sentence.

        Raises:
            BadInput: the tree is not valid.
        """
        tree = dict(self.defaults if tree is None else tree)
        key = repr(tree)  # tells 1, 1.0, true and "1" apart
        found = self._trials.get(key)
        if found is None:
            found = self._trials[key] = validate_tree(TrialConfig, tree, where, note)
            if len(self._trials) > _CACHED:  # a search validates every configuration it proposes
                del self._trials[next(iter(self._trials))]
        return found

    def check(self, card: DatasetCard) -> None:
        """Compare the space with a dataset: objectives, constraints, preferences and the targets of
        populations must name its tasks. Raises BadInput."""
        config, known = self.config, metrics_of(card.tasks)
        check_metrics(config.objectives, config.constraints, known, card.name)
        if DELTA_M in config.metrics and config.delta_m not in self.controls:
            raise BadInput(
                f"`{DELTA_M}` compares with the control `delta_m`, which is"
                f" {config.delta_m or 'null'}. Found the controls"
                f" {', '.join(self.controls) or '(none)'}. Add it to `controls`, or set `delta_m`"
                " to one of them."
            )
        tasks = [task.name for task in card.tasks]
        trees = {
            "trial": self.defaults,
            **{f"controls.{name}": tree for name, tree in self.controls.items()},
        }
        for where, tree in trees.items():
            points = tree.get("pareto_set")
            if LATENCY in config.metrics and "sparsity_ladder" in (
                points,
                points.get("name") if isinstance(points, Mapping) else None,
            ):
                raise BadInput(
                    f"`{where}.pareto_set` sparsity_ladder cannot be combined with `{LATENCY}`,"
                    " which is measured once a training. Use `model/macs` or `model/nonzero`."
                )
            check_preference(f"{where}.preference", tree.get("preference"), tasks, card.name)
            population = tree.get("population")
            if population is not None:
                target = population.get("target") if isinstance(population, Mapping) else None
                population_target(target, tasks, card.name, where)
        for dimension in self.dimensions:
            if dimension.kind == "simplex":
                check_preference(dimension.path, dimension.default, tasks, card.name)
            if dimension.path == "trial.preference" and dimension.kind == "choice":
                for option in dimension.spec:
                    check_preference(dimension.path, option, tasks, card.name)
        if config.delta_m is not None and config.delta_m not in self.controls and self.controls:
            hint = nearest(config.delta_m, self.controls)
            raise BadInput(
                f"`delta_m` names no control of this space: `{config.delta_m}`. {hint}"
                " `delta_m=null` switches Delta-m off."
            )

    # ------------------------------------------------------------ text

    def to_yaml(self) -> str:
        """The merged tree as YAML, which `Space.from_yaml` reads back."""
        return dump_yaml(self.raw)

    @classmethod
    def from_yaml(cls, text: str, plugins: Sequence[str] | None = None) -> Space:
        """A space from the text of `to_yaml`.

        Args:
            text: YAML.
            plugins: modules and files in place of the text's own, where these have moved.

        Raises:
            BadInput: the text is not a valid space.
        """
        raw = parse_yaml(text, "the configuration")
        if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
            raise BadInput(
                f"the configuration should be a mapping of named keys. Found {type(raw).__name__}."
            )
        return cls(raw if plugins is None else {**raw, "plugins": list(plugins)})

    # ------------------------------------------------------------ checks

    def _refuse_misplaced(self) -> None:
        for key in self.raw:
            if key != "trial":
                for dimension in dimensions_of({key: self.raw[key]}, ""):
                    if self._searched_in_control(dimension.path):
                        continue
                    raise BadInput(
                        f"`{dimension.path}` cannot be searched: only keys below `trial` can. Give"
                        " it one value."
                    )

    def _searched_in_control(self, path: str) -> bool:
        """Whether a key path is named by `search.over` of its control."""
        first, _, rest = path.partition(".")
        name, _, key = rest.partition(".")
        over = node_at(self.raw, f"{first}.{name}.search.over") if first == "controls" else None
        return isinstance(over, list | tuple) and key in over

    def _control(self, name: str) -> dict[str, Any]:
        changes = dict(self.config.controls[name])
        search = changes.pop("search", None)
        # a preference is given as a whole: its weights are not merged
        base = {**self.defaults, "preference": None} if "preference" in changes else self.defaults
        where = f"controls.{name}"
        tree: dict[str, Any] = resolve(merge(base, changes, where), where, default_of)
        settings = self.trial(tree, where)
        if search is not None:
            found = validate_tree(ControlSearch, _mapping(search), f"{where}.search")
            self.control_searches[name] = found
            self._control_trees[name] = searched_tree(
                tree, (changes, self.tree), found, where, settings
            )
            for drawn, note in variants_of(self._control_trees[name], where):
                self.trial(drawn, where, note)
        return tree

    def is_searched(self, name: str) -> bool:
        """Whether a control has several configurations."""
        tree = self._control_trees.get(name)
        return tree is not None and any(dimensions_of(tree, ""))

    def sample_control(self, name: str, suggest: Suggest) -> dict[str, Any]:
        """One configuration of a searched control."""
        where = f"controls.{name}"
        tree = resolve(self._control_trees[name], where, lambda dimension: dimension.draw(suggest))
        return dict(tree)

    def _check_values(self) -> None:
        """Validate the defaults, then every option of every choice and both bounds of every range,
        with the other dimensions at representative values."""
        self.trial()
        for target in self.dimensions:
            for value in bounds(target):
                values = {**dict(target.parents), target.path: value}
                tree = self.combine(values)
                note = f" (as drawn from `{target.path}`)"
                self._refuse_unused_search(tree)
                self.trial(tree, note=note)

    def _refuse_unused_search(self, tree: Mapping[str, Any]) -> None:
        """Refuse a searched preference beside a balancing method that takes none."""
        weights, balancing = tree.get("preference"), tree.get("balancing")
        if (
            not any(d.path == "trial.preference" for d in self.dimensions)
            or not isinstance(weights, Mapping)
            or equal(weights.values())
        ):
            return
        name = balancing.get("name") if isinstance(balancing, Mapping) else balancing
        method = methods("balancing").get(name) if isinstance(name, str) else None
        if method is not None and not takes_preference(method):
            raise BadInput(
                "`trial.preference` is searched, but may be combined with `trial.balancing`"
                f" {name}, which takes no preference. Leave the preference out with"
                f" `trial.preference=null`, or remove {name} from `trial.balancing`."
            )


def population_target(
    target: str | None, tasks: Sequence[str], dataset: str, where: str = "trial"
) -> str:
    """The name of a population's target task.

    Args:
        target: as the configuration gives it.
        tasks: of the dataset.
        dataset: its name, for the error sentence.
        where: the key path of the trial, for the error sentence.

    Raises:
        BadInput: `target` is not a task of the dataset, or is None where the dataset has several.
    """
    if target is None and len(tasks) == 1:
        return tasks[0]
    if target not in tasks:
        found = "none" if target is None else f"`{target}`"
        raise BadInput(
            f"`{where}.population.target` should be a task of {dataset}: {', '.join(tasks)}. Found"
            f" {found}."
        )
    return str(target)


def _mapping(value: Any) -> dict[str, Any]:
    """A mapping as it is; anything else as one that validation refuses."""
    return dict(value) if isinstance(value, Mapping) else {"search": value}


def _objective(entry: Any) -> Any:
    if isinstance(entry, str):
        entry = {"metric": entry}
    if isinstance(entry, Mapping) and "goal" not in entry:
        if entry.get("metric"):
            return {**entry, "goal": metric_of(str(entry["metric"])).goal}
        if "expression" in entry:
            return {**entry, "goal": "min"}
    return entry


def _list(raw: Mapping[str, Any], key: str) -> list[Any]:
    value = raw.get(key) or []
    return list(value) if isinstance(value, list | tuple) else [value]


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a tree as (dotted path, value), lists kept whole: the configuration columns of
    tables and of commands."""
    for key, value in tree.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path)
        else:
            yield path, value
