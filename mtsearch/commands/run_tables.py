"""Tables of several runs: a line for each, and their hypervolumes and fronts."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mtsearch.config.errors import BadInput
from mtsearch.config.text import printable
from mtsearch.jobs.run import Run
from mtsearch.pareto.dominance import objective_values
from mtsearch.pareto.volume import hypervolume
from mtsearch.runs.managing import disk, is_driven, is_run
from mtsearch.runs.object_store import Store, StoreError, check_url, is_url
from mtsearch.runs.opening import open_run
from mtsearch.runs.storage import EVENTS

REFERENCE = 1.1  # of each scaled objective (Ishibuchi et al. 2018)


def find_runs(root: str) -> list[str]:
    """The addresses of the runs below a folder or URL, by name. Links are not followed.

    Raises:
        BadInput: there is no such folder, or the object store cannot be read.
    """
    if is_url(root):
        check_url(root, "root")
        try:
            keys = Store(root).list("")
        except StoreError as error:
            raise BadInput(f"`root` cannot be read: {error}") from None
        ends = [key.removesuffix("/config.yaml") for key in keys if key.endswith("/config.yaml")]
        return [f"{root.rstrip('/')}/{end}" for end in sorted(ends)]
    if not Path(root).is_dir():
        raise BadInput(f"`root` should be a folder of runs. Found no folder {root}.")
    if is_run(Path(root)):
        return [root]
    found: list[str] = []
    for place, folders, _ in os.walk(root):
        inside = [name for name in sorted(folders) if not name.startswith(".")]
        runs = [name for name in inside if is_run(Path(place, name))]
        found += [str(Path(place, name)) for name in runs]
        folders[:] = [name for name in inside if name not in runs]
    return sorted(found)


def listing(addresses: Sequence[str]) -> Table:
    """A line for each run; one that cannot be read has the reason."""
    table = Table("run", "state", "trials", "front", "hypervolume", "age", "disk")
    for address in addresses:
        try:
            cells = _line(Run(open_run(address)))
        except BadInput as error:
            cells = [str(error), "", "", "", "", ""]
        table.add_row(Text(printable(address)), *(Text(printable(cell)) for cell in cells))
    return table


def _line(run: Run) -> list[str]:
    state, path, url = run.directory.state(), run.directory.path, is_url(run.address)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(state.states.items()) if count)
    size = sum(Store(run.address).list("").values()) if url else disk(path)
    age = None if url else max(0.0, time.time() - (path / EVENTS).stat().st_mtime)
    if not url and is_driven(path):
        word = "running"
    elif state.running:
        word = "interrupted" if not url else "unfinished"
    else:
        wanted = 1 if run.directory.single else run.config.search.trials
        word = "complete" if state.kinds["search"] >= wanted or state.single else "unfinished"
    front = len(run.front)
    volume = run.hypervolume if front else math.nan
    shown = f"{volume:.4g}" if math.isfinite(volume) else "–"
    return [word, counts, str(front), shown, _age(age), f"{size / 1e6:,.1f} MB"]


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def comparison(addresses: Sequence[str]) -> Iterator[Table]:
    """A table of the hypervolumes of runs, and one of their fronts.

    Raises:
        BadInput: the runs have different objectives, or none has a front.
    """
    runs = [Run(open_run(address)) for address in addresses]
    objectives = runs[0].config.objectives
    for run in runs[1:]:
        if run.config.objectives != objectives:
            found, wanted = (
                ", ".join(o.metric for o in r.config.objectives) for r in (run, runs[0])
            )
            raise BadInput(
                f"`run` should name runs with the same objectives. {runs[0].address} has {wanted};"
                f" {run.address} has {found}. Compare others."
            )
    goals = [o.goal for o in objectives]
    fronts = [objective_values(list(run.front), objectives) for run in runs]
    volumes = scaled_hypervolumes(fronts, goals)
    table = Table("run", "front", "hypervolume")
    for run, front, volume in zip(runs, fronts, volumes, strict=True):
        table.add_row(Text(printable(run.address)), str(len(front)), f"{volume:.4f}")
    yield table
    table = Table("run", "trial", *(escape(printable(o.metric)) for o in objectives))
    for run, front in zip(runs, fronts, strict=True):
        for row, values in zip(run.front, front, strict=True):
            cells = [run.address, str(row["trial"]), *(f"{value:.4g}" for value in values)]
            table.add_row(*(Text(printable(cell)) for cell in cells))
    yield table


def scaled_hypervolumes(fronts: Sequence[NDArray[np.float64]], goals: Sequence[str]) -> list[float]:
    """The hypervolume of each front as a share of the largest possible one.

    Objectives are scaled by the ideal and the nadir point of the union of the fronts, to 0 (best)
    and 1 (worst); the reference point is 1.1 in each. An objective that is the same everywhere
    is 0.

    Args:
        fronts: (n, k) each; n may be 0.
        goals: `min` or `max` of each objective.
    """
    signs = np.array([-1.0 if goal == "max" else 1.0 for goal in goals])
    union = np.concatenate(fronts) * signs
    union = union[np.isfinite(union).all(1)]
    if not len(union):
        raise BadInput("none of the runs has a front yet. Wait for trials that are done.")
    ideal, nadir = union.min(0), union.max(0)
    span = np.where(nadir > ideal, nadir - ideal, 1.0)
    count = len(goals)
    return [
        hypervolume((front * signs - ideal) / span, ["min"] * count, [REFERENCE] * count)
        / REFERENCE**count
        for front in fronts
    ]
