"""A space: YAML, a profile and key=value overrides become a validated search."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from omegaconf import OmegaConf

from mtsearch.config.balancing import equal, takes_preference
from mtsearch.config.cards import DatasetCard
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
from mtsearch.config.metrics import metric_of, metrics_of
from mtsearch.config.plugins import absolute_plugins, load_plugins
from mtsearch.config.preferences import check_preference, task_preferences
from mtsearch.config.registry import tag_of
from mtsearch.config.schema import SpaceConfig, TrialConfig
from mtsearch.config.validation import validate_tree

_register = (
    getattr(OmegaConf, "register_resolver", None) or OmegaConf.register_new_resolver
)  # the older name is deprecated
_register("preferences", lambda k0, a, b: task_preferences(float(k0), a, b), replace=True)

_NAMED = (
    "architecture",
    "backbone",
    "balancing",
    "task_schedule",
    "sparsity",
    "population",
    "formulation",
    "optimizer",
    "lr_schedule",
    "sampler",
    "scheduler",
)


def merge(base: dict[str, Any], over: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """`over` laid on `base`, in a new tree. Mappings merge, but an empty one replaces what was
    there, as does a dimension, or a method with another name."""
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
    """A validated search: `config` (everything but the tree), `tree` (the trial with its
    dimensions) and `controls` (fixed trials)."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        """`raw` is the merged tree as YAML holds it; its plug-ins are loaded first. Raises
        BadInput."""
        raw = dict(raw)
        if "plugins" in raw:
            raw["plugins"] = absolute_plugins(raw["plugins"])
        load_plugins(raw.get("plugins", ()))
        raw["objectives"] = [_objective(entry) for entry in _list(raw, "objectives")]
        self.raw = raw
        self._refuse_misplaced()
        self.config: SpaceConfig = validate_tree(SpaceConfig, raw, "")
        self.tree: dict[str, Any] = dict(self.config.trial)
        self.dimensions: list[Dimension] = list(dimensions_of(self.tree, "trial"))
        self.defaults: dict[str, Any] = resolve(self.tree, "trial", default_of)
        self._check_values()
        self.controls: dict[str, dict[str, Any]] = {}
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

    def removal_hint(self, control: str) -> str:
        """How a search goes without a control, to end the sentence that refuses it."""
        compared = (
            " delta_m=null"
            if self.config.delta_m == control and len(self.config.controls) > 1
            else ""
        )
        return f"Fix the control, or leave it out with `controls.{control}=null{compared}`."

    def trial(self, tree: Mapping[str, Any] | None = None) -> TrialConfig:
        """The validated configuration of one trial; of the defaults when no tree is given."""
        return validate_tree(TrialConfig, dict(self.defaults if tree is None else tree), "trial")

    def check(self, card: DatasetCard) -> None:
        """Hold the space against the dataset: objectives, constraints and preferences must speak of
        its tasks. Raises BadInput."""
        config, known = self.config, metrics_of(card.tasks)
        named = [
            (f"objectives[{i}]", objective.metric) for i, objective in enumerate(config.objectives)
        ]
        named += [
            (f"constraints[{i}]", constraint.metric)
            for i, constraint in enumerate(config.constraints)
        ]
        for where, metric in named:
            if metric not in known:
                raise BadInput(
                    f"`{where}` names a metric that no trial on {card.name} reports: `{metric}`."
                    f" {nearest(metric, known)}"
                )
        tasks = [task.name for task in card.tasks]
        trees = {
            "trial": self.defaults,
            **{f"controls.{name}": tree for name, tree in self.controls.items()},
        }
        for where, tree in trees.items():
            check_preference(f"{where}.preference", tree.get("preference"), tasks, card.name)
            population = tree.get("population")
            if population is not None:
                population_target(
                    population.get("target") if isinstance(population, Mapping) else None,
                    tasks,
                    card.name,
                    where,
                )
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
        """The resolved configuration, which `Space.from_yaml` reads back."""
        return dump(self.raw)

    @classmethod
    def from_yaml(cls, text: str, plugins: Sequence[str] | None = None) -> Space:
        """A space from what `to_yaml` wrote, with these plug-ins in place of its own, where they
        have moved."""
        raw = yaml.safe_load(text)
        return cls(raw if plugins is None else {**raw, "plugins": list(plugins)})

    # ------------------------------------------------------------ checks

    def _refuse_misplaced(self) -> None:
        for key in self.raw:
            if key != "trial":
                for dimension in dimensions_of({key: self.raw[key]}, ""):
                    raise BadInput(
                        f"`{dimension.path}` cannot be searched: only keys below `trial` can. Give"
                        " it one value."
                    )

    def _control(self, name: str) -> dict[str, Any]:
        changes = self.config.controls[name]
        base = (
            {**self.defaults, "preference": None} if "preference" in changes else self.defaults
        )  # weights are given as a whole
        tree: dict[str, Any] = resolve(
            merge(base, changes, f"controls.{name}"), f"controls.{name}", default_of
        )
        validate_tree(TrialConfig, tree, f"controls.{name}")
        return tree

    def _check_values(self) -> None:
        """Every option of every choice and both ends of every range make a valid trial, the other
        dimensions being at their defaults.

        A searched preference is unequal in all trials but its default, so unequal weights stand in
        for its default.
        """
        self.trial()
        for target in self.dimensions:
            for value in bounds(target):

                def pick(
                    dimension: Dimension, value: Any = value, target: Dimension = target
                ) -> Any:
                    if dimension.path == target.path:
                        return value
                    return dict(target.parents).get(dimension.path, representative(dimension))

                tree = resolve(self.tree, "trial", pick)
                note = f" (as drawn from `{target.path}`)"
                self._refuse_idle_search(tree, note)
                validate_tree(TrialConfig, tree, "trial", note)

    def _refuse_idle_search(self, tree: dict[str, Any], note: str) -> None:
        """A preference is searched for methods that take one. (The values in `tree` only stand for
        those that would be drawn.)"""
        weights = tree.get("preference")
        if (
            not any(d.path == "trial.preference" for d in self.dimensions)
            or not isinstance(weights, Mapping)
            or equal(weights.values())
        ):
            return
        method = validate_tree(TrialConfig, {**tree, "preference": None}, "trial", note).balancing
        if not takes_preference(method):
            raise BadInput(
                f"`trial.preference` is searched, but may meet `trial.balancing` {method.name},"
                " which takes no preference. Give it up with `trial.preference=null`, or take"
                f" {method.name} out of `trial.balancing`."
            )


def dump(raw: Mapping[str, Any]) -> str:
    """A space's tree as YAML."""
    return yaml.safe_dump(dict(raw), sort_keys=False, allow_unicode=True)


def population_target(
    target: str | None, tasks: Sequence[str], dataset: str, where: str = "trial"
) -> str:
    """The name of a population's target among the tasks of a dataset. Raises BadInput where it is
    none, or none of several is named."""
    if target is None and len(tasks) == 1:
        return tasks[0]
    if target not in tasks:
        found = "none" if target is None else f"`{target}`"
        raise BadInput(
            f"`{where}.population.target` should be a task of {dataset}: {', '.join(tasks)}. Found"
            f" {found}."
        )
    return str(target)


def _objective(entry: Any) -> Any:
    if isinstance(entry, str):
        entry = {"metric": entry}
    if isinstance(entry, Mapping) and "metric" in entry and "goal" not in entry:
        return {**entry, "goal": metric_of(str(entry["metric"])).goal}
    return entry


def _list(raw: Mapping[str, Any], key: str) -> list[Any]:
    value = raw.get(key) or []
    return list(value) if isinstance(value, list | tuple) else [value]


# ---------------------------------------------------------------- loading


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a tree as (dotted path, value), lists kept whole: the configuration columns of
    tables and of commands."""
    for key, value in tree.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path)
        else:
            yield path, value
