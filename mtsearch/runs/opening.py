"""Creating, naming and opening runs, in a folder or in an object store."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtsearch.config.errors import BadInput
from mtsearch.config.space import Space, leaves
from mtsearch.config.yaml_text import dump_yaml, parse_yaml
from mtsearch.runs.checkpoints import outbox
from mtsearch.runs.directory import PLACES, RESUMABLE, RunDirectory
from mtsearch.runs.folders import begin, folder_name, new_run_name, runs_of, try_results
from mtsearch.runs.lease import Lease
from mtsearch.runs.object_store import Store, StoreError, check_url, is_url
from mtsearch.runs.remote import _FIRST, RemoteRun, _copies


def check_results(space: Space) -> None:
    """Raises BadInput where `results.root` is nowhere that results can be written to."""
    root = space.config.results.root
    if is_url(root):
        check_url(root)
        Store(root).check()
        _refuse_begun(space)
    else:
        try_results(space)


def _refuse_begun(space: Space) -> None:
    name = space.config.results.run
    url = f"{space.config.results.root.rstrip('/')}/{folder_name(space)}/{name}"
    if name is not None and _begun(url):
        raise BadInput(
            f"`results.run` names what exists: {url}. Go on with that run by `python -m"
            f" mtsearch.run resume={url}`, or give another name."
        )


def open_run(
    place: str | Path, plugins: Sequence[str] | None = None, key: str = "run"
) -> RunDirectory:
    """The run in a folder or at a URL. Raises BadInput where there is none."""
    if not is_url(place):
        return RunDirectory(place, plugins)
    check_url(str(place), key)
    return RemoteRun(Store(str(place)), plugins)


def create_run(
    space: Space,
    environment: Mapping[str, Any],
    *,
    name: str,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    single: bool = False,
) -> RunDirectory:
    """Make a new run below `results.root`; see `RunDirectory.create`."""
    root = space.config.results.root
    if not is_url(root):
        return RunDirectory.create(
            space, environment, name=name, profile=profile, overrides=overrides, single=single
        )
    check_url(root)
    base = Store(root)
    base.check()
    stamp, number = space.config.results.run or new_run_name(), 1
    while True:
        store = base.below(f"{folder_name(space)}/{stamp if number == 1 else f'{stamp}-{number}'}")
        lease = Lease.first(store)
        if lease is None and space.config.results.run is not None:
            _refuse_begun(space)
            lease = Lease.take(store)  # of a driver that died before its first event
        if lease is not None:
            break
        number += 1
    folder = _copies(store.url) / f"lease-{lease.number:06d}"
    for stale in (
        folder,
        outbox(store.url),
    ):  # of a run of this name that somebody deleted from the store
        shutil.rmtree(stale, ignore_errors=True)
    folder.mkdir(parents=True)
    begin(folder, space, environment, name, profile, overrides, single)
    for file in _FIRST:
        store.upload(folder / file, file)
    return RemoteRun(store, lease=lease, folder=folder)


def named_run(space: Space) -> RunDirectory | None:
    """The run that `results.run` names, to be resumed; None where it has not begun. Raises BadInput
    where it has other settings."""
    name = space.config.results.run
    if name is None:
        raise BadInput(
            "`--or-resume` goes on with the run of a given name. Give one, for example"
            " `results.run=first`."
        )
    root = space.config.results.root
    path: str | Path = (
        f"{root.rstrip('/')}/{folder_name(space)}/{name}" if is_url(root) else runs_of(space) / name
    )
    if not (_begun(str(path)) if is_url(root) else Path(path).exists()):
        return None
    run = open_run(path, key="results.root")
    given, stored = (
        _fixed(parse_yaml(dump_yaml(tree.raw), "the space")) for tree in (space, run.space)
    )
    for key in [*given, *stored]:
        if given.get(key) != stored.get(key):
            raise BadInput(
                f"`results.run` names a run that was begun with other settings: {path} has `{key}:"
                f" {stored.get(key)}`, and here it is {given.get(key)}. Give the same settings, or"
                " another name."
            )
    return run


def _fixed(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves that no resume may change."""
    return {
        key: value
        for key, value in leaves(raw)
        if key not in (*RESUMABLE, *PLACES) and not key.startswith("results.")
    }


def _begun(url: str) -> bool:
    """Whether there is a run with events at a URL."""
    check_url(url)
    try:
        return bool(Store(url).list("events"))
    except StoreError as error:
        raise BadInput(f"`results.root` cannot be read: {error}") from None
