"""Trials of earlier runs that the sampler `curves` reads: `search.earlier`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtsearch.config.dimensions import Dimension, label
from mtsearch.config.errors import BadInput
from mtsearch.config.space import Space
from mtsearch.runs.opening import open_run
from mtsearch.runs.state import TrialRecord
from mtsearch.strategy.curves import Curves
from mtsearch.strategy.journal import search_trials


def read_earlier(space: Space, curves: Curves) -> None:
    """Add the ended trials of the runs in `search.earlier` to `curves`, with negative numbers, and
    with the parameters that the space has, too.

    A trial is left out where one of its values is outside the space, or where its reports lack an
    objective. Raises BadInput where a run cannot be read or has no trial that fits.
    """
    number = -1
    for path in space.config.search.earlier:
        before = number
        run = open_run(path, None, "search.earlier")
        for trial in search_trials(run.read_state()):
            params = earlier_parameters(space, trial)
            if trial.state == "running" or params is None:
                continue
            curves.start(number, params)
            for report in sorted(trial.reports):
                curves.report(number, trial.reports[report])
            curves.end(number, trial.state, trial.result)
            if curves.trials[number].reports:
                number -= 1
            else:
                del curves.trials[number]
        if number == before:
            raise BadInput(
                f"`search.earlier` has {path}, no trial of which fits the space and has all"
                " objectives. Leave it out."
            )


def earlier_parameters(space: Space, trial: TrialRecord) -> dict[str, Any] | None:
    """The trial's parameters by the names of the space's dimensions: those that it drew, and else
    what its configuration has at a dimension's key. None where one is outside the space."""
    drawn = trial.study["params"]
    found: dict[str, Any] = {}
    for one in space.dimensions:
        if one.kind == "simplex":
            names = [f"{one.path}[{i}]" for i in range(len(one.spec) - 1)]
            found |= {name: drawn[name] for name in names if name in drawn}
            continue
        value = drawn.get(one.path, _at(trial.config, one.path))
        if value is None:
            continue
        if not _inside(one, value):
            return None
        found[one.path] = label(value) if one.kind == "choice" else value
    return found


def _at(tree: Mapping[str, Any], path: str) -> Any:
    """The value at `trial.KEY.KEY` of a trial's tree, None where there is none."""
    node: Any = tree
    for key in path.split(".")[1:]:
        if not isinstance(node, Mapping) or key not in node:
            return None
        node = node[key]
    return node


def _inside(one: Dimension, value: Any) -> bool:
    if one.kind == "choice":
        return label(value) in one.labels
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and bool(one.spec[0] <= value <= one.spec[1])
