"""Trials that begin with the weights of another trial of the run: entries of `search.start` that
have a `start`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtsearch.config.errors import BadInput
from mtsearch.config.lineage import parent_of
from mtsearch.config.schema import Search
from mtsearch.config.space import Space, merge
from mtsearch.pareto import trial_of
from mtsearch.runs.names import is_search_name
from mtsearch.runs.state import RunState, TrialRecord

_PREFIX = "trial."
_INHERITED = ("architecture", "backbone", "groups", "init", "population", "start")
"""Settings that a child has from its parent, so that their weights have the same shapes."""


def parent_name(entry: Mapping[str, Any]) -> str | None:
    """The trial or point with whose weights an entry of `search.start` begins; None for none."""
    start = entry.get("start")
    return str(start["trial"]) if isinstance(start, Mapping) else None


def parents(space: Space) -> set[str]:
    """The trials that are parents of entries of `search.start`."""
    found = (parent_name(entry) for entry in space.config.search.start)
    return {trial_of(name) for name in found if name is not None}


def child_tree(
    space: Space,
    number: int,
    parent: Mapping[str, Any],
    network: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The tree of the trial `search.start[number]`: the settings of its parent, changed by those of
    the entry. Raises BadInput.

    Args:
        space: the space.
        number: of the entry.
        parent: the configuration of the parent trial.
        network: that of the plain network, where the parent is a point.
    """
    entry, where = space.config.search.start[number], f"search.start[{number}]"
    name = str(parent_name(entry))
    _, at, index = name.partition("@")
    plain = parent if network is None else network
    tree = {key: value for key, value in plain.items() if key != "start"}
    if at:
        tree["pareto_set"] = None
    changes: dict[str, Any] = {}
    for path, value in entry.items():
        if path != "start":
            changes = merge(changes, _nested(path.removeprefix(_PREFIX), value), where)
    if "preference" in changes:  # given as a whole: its weights are not merged
        tree["preference"] = None
    point = {"point": int(index)} if at else {}
    start = {"trial": name, "config": dict(parent), **point}
    return {**merge(tree, changes, where), "start": start}


def _nested(path: str, value: Any) -> dict[str, Any]:
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


def finished_parent(state: RunState, trial: TrialRecord) -> TrialRecord | None:
    """The finished trial or point of the run with whose weights a trial begins."""
    name = parent_of(trial.config)
    found = None if name is None else state.find(name)
    return found if found is not None and found.state == "done" else None


def unusable_parent(space: Space, state: RunState, trial: TrialRecord) -> str | None:
    """Why a trial cannot begin with the weights of its parent; None where it can, or has none."""
    name = parent_of(trial.config)
    if name is None:
        return None
    parent = state.trials.get(trial_of(name))
    if parent is None or parent.state != "done":
        how = "does not exist" if parent is None else f"is {parent.state}"
        return f"trial {trial_of(name)}, with whose weights it was to begin, {how}"
    if state.find(name) is None:
        return f"trial {trial_of(name)} has no point {name}, with whose weights it was to begin"
    try:
        space.trial(trial.config)
    except BadInput as error:
        return str(error)
    return None


def check_children(space: Space) -> None:
    """Check the entries of `search.start` that have a parent. Raises BadInput."""
    search = space.config.search
    children = [i for i, entry in enumerate(search.start) if "start" in entry]
    for number in children:
        entry, where = search.start[number], f"search.start[{number}]"
        start = entry["start"]
        name = start.get("trial") if isinstance(start, Mapping) else None
        if not isinstance(name, str) or set(start) != {"trial"} or not _is_name(name):
            raise BadInput(
                f"`{where}.start` should name a trial or point of this search in quotes, such as"
                f' {{trial: "0003"}} or {{trial: "0003@05"}}. Found {start!r}.'
            )
        needed = int(trial_of(name)) + 1 + len(children)
        if needed > search.trials:
            raise BadInput(
                f"`{where}.start` names trial {name}, so that `search.trials` should be at least"
                f" {needed}. Found {search.trials}."
            )
        for path in entry:
            key = path.removeprefix(_PREFIX).split(".")[0]
            if key in _INHERITED and path != "start":
                raise BadInput(
                    f"`{where}` cannot set `{path}`: a trial that begins with the weights of"
                    " another one has its network. Leave it out."
                )
        parent = dict(space.defaults)
        if "@" not in name:  # a training that yields points has no network of its own
            parent["pareto_set"] = None
        space.trial(child_tree(space, number, parent), where)


def check_added(old: Search, new: Search, begun: int) -> None:
    """Check the entries that a resume adds to `search.start`. Raises BadInput.

    Args:
        old: the settings before the resume.
        new: the settings after it.
        begun: the number of search trials that have begun.
    """
    before = len(old.start)
    if new.start[:before] != old.start:
        raise BadInput(
            f"`search.start` on resume should begin with its {before} present entries, which new"
            f" ones follow. Found {[dict(entry) for entry in new.start]!r}."
        )
    needed = begun + len(new.start) - before
    if len(new.start) > before and new.trials < needed:
        raise BadInput(
            f"`search.trials` should be at least {needed}: {begun} trials have begun, and"
            f" `search.start` has {len(new.start) - before} new entries. Found {new.trials}."
        )


def _is_name(name: str) -> bool:
    trial, at, index = name.partition("@")
    return is_search_name(trial) and trial.isdigit() and (not at or index.isdigit())
