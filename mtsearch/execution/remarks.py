"""Remarks on settings that are allowed but probably not intended, printed before a search and in
its dry run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtsearch.config.dimensions import bounds
from mtsearch.config.space import Space
from mtsearch.strategy.scheduling import reports_of

_REUSING = ("hps", "stl", "mtan", "mtln")  # architectures that read images through trunks alone


def remarks(space: Space, at_once: int, nodes: Sequence[Mapping[str, float]]) -> list[str]:
    """Lines about a search of `at_once` trials on `nodes` (the resources of each, by Ray's
    names)."""
    found = (
        _oversubscribed(space, at_once, nodes),
        _idle_scheduler(space),
        _relative_size(space),
        _no_population(space),
        _idle_control_search(space),
        _frozen_trunks(space),
    )
    return [f"remark     {text}" for text in found if text is not None]


def _oversubscribed(space: Space, at_once: int, nodes: Sequence[Mapping[str, float]]) -> str | None:
    config, cores = space.config, sum(float(node.get("CPU", 0)) for node in nodes)
    threads = max(space.trial(tree).threads for tree in (space.defaults, *space.controls.values()))
    total = threads * config.workers * at_once
    if threads <= max(config.resources.cpu, 1) or total <= cores:
        return None
    fits = any(float(node.get("CPU", 0)) >= threads for node in nodes)
    advice = f"`resources.cpu={threads}` prevents it" if fits else "lower `trial.threads`"
    return f"{total} threads of concurrent trials share {cores:g} cores; {advice}"


def _frozen_trunks(space: Space) -> str | None:
    from mtsearch.training.features import hindrance, is_frozen  # imports torch

    config, data = space.trial(), space.config.data
    if not is_frozen(config):
        return None
    key = hindrance(config, data)
    if key is None and config.architecture.name not in _REUSING:
        key = "trial.architecture"
    if key is None and config.groups is not None and len(config.groups) > 1:
        key = "trial.groups"
    if key is None:
        return (
            "the trunk is frozen: its features are computed once, kept beside the store, and read"
            " by all trials; `data.features=off` computes them in every step"
        )
    if key == "data.features":
        return None
    return (
        f"the trunk is frozen, but its features are computed in every step because of `{key}`;"
        " without it they are computed once for all trials"
    )


def _idle_control_search(space: Space) -> str | None:
    idle = [name for name in space.control_searches if not space.is_searched(name)]
    if not idle:
        return None
    return (
        f"`controls.{idle[0]}.search` draws nothing: each setting of its `over` has one value, in"
        " the trials too"
    )


def _no_population(space: Space) -> str | None:
    alone = [
        dimension.path
        for dimension in space.dimensions
        if dimension.path.endswith("population.group_size") and 1 in bounds(dimension)
    ]
    if not alone:
        return None
    return (
        f"`{alone[0]}` may be 1: such a population transfers nothing and consists of independent"
        " trainings; make it a control instead"
    )


def _idle_scheduler(space: Space) -> str | None:
    scheduler = space.config.search.scheduler
    if scheduler.name != "moasha" or space.trial().population is not None:
        return None
    reports = reports_of(space)
    if scheduler.grace < reports:  # trials are not compared at their last report
        return None
    return (
        f"`search.scheduler` stops nothing: its `grace` is {scheduler.grace}, and trials make"
        f" {reports} reports"
    )


def _relative_size(space: Space) -> str | None:
    """`model/density` compares a network with its own dense form, so across networks of different
    sizes the largest dense one looks no larger than the smallest."""
    sized = ("trial.architecture", "trial.backbone")
    mixed = [
        dimension.path
        for dimension in space.dimensions
        if dimension.path.startswith(sized) and dimension.path.count(".") == 1
    ]
    if not mixed or all(o.metric != "model/density" for o in space.config.objectives):
        return None
    return (
        f"the objective `model/density` is relative to each network, and `{mixed[0]}` is searched;"
        " `model/nonzero` or `model/macs` compares networks of different sizes"
    )
