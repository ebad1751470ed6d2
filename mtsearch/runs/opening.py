"""Creating, naming and opening runs, in a folder or in an object store."""

from __future__ import annotations

import errno
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtsearch.config.errors import BadInput, Halt
from mtsearch.config.space import Space, leaves
from mtsearch.config.temporary import sweep_temporary
from mtsearch.config.yaml_text import dump_yaml, parse_yaml
from mtsearch.runs.directory import PLACES, RESUMABLE, RunDirectory
from mtsearch.runs.driven import DrivenRun
from mtsearch.runs.folders import (
    begin,
    folder_name,
    new_run_name,
    results_folder,
    runs_folder,
    try_results,
    with_sampler,
)
from mtsearch.runs.lease import Lease
from mtsearch.runs.object_storage import WRITTEN_ONCE, ObjectStorage, copies_of
from mtsearch.runs.object_store import PROTOCOLS, Store, StoreError, check_url, is_url
from mtsearch.runs.pending import pending_folder


def check_results(space: Space) -> None:
    """Raises BadInput where results cannot be written to `results.root`."""
    root = space.config.results.root
    protocol = root.partition(":")[0]
    if root.startswith(f"{protocol}:/") and not is_url(root) and protocol in PROTOCOLS:
        raise BadInput(
            f"`results.root={root}` is not a URL, as `{protocol}:` should be followed by two"
            " slashes."
            f" Write {protocol}://BUCKET/PREFIX, or ./{root} for a folder of that name."
        )
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
            f"`results.run` names a run that exists: {url}. Continue that run with `python -m"
            f" mtsearch.run resume={url}`, or give another name."
        )


def open_run(
    place: str | Path, plugins: Sequence[str] | None = None, key: str = "run"
) -> RunDirectory:
    """The run in a folder or at a URL, opened to be read.

    Args:
        place: the folder or URL.
        plugins: the plug-ins that the user names, in place of the run's own.
        key: the command-line key that the user gave `place` with, for error messages.

    Raises:
        BadInput: there is no run.
    """
    if not is_url(place):
        return RunDirectory(place, plugins)
    check_url(str(place), key)
    storage = ObjectStorage(Store(str(place)))
    return RunDirectory(storage.download(), plugins, storage)


def create_run(
    space: Space,
    environment: Mapping[str, Any],
    *,
    name: str,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    root: str | Path | None = None,
    single: bool = False,
) -> DrivenRun:
    """Make a new run.

    Args:
        space: the configuration.
        environment: contents of environment.json.
        name: of the space or its file, as the user gave it.
        profile: of the space, as the user gave it.
        overrides: ``key=value`` words, as the user gave them.
        root: the folder or URL for results; None takes `results.root`.
        single: whether the run is one training and no search.

    Raises:
        BadInput: no run can be made there.
    """
    sweep_temporary()
    root = str(root if root is not None else space.config.results.root)
    given = (space, environment, name, profile, overrides, single)
    return _create_in_store(root, *given) if is_url(root) else _create_in_folder(root, *given)


def _create_in_folder(root: str, space: Space, *given: Any) -> DrivenRun:
    parent = results_folder(space, root)
    stamp = space.config.results.run or new_run_name()
    # under another name at first, so that a crash leaves no half of a run
    hidden = parent / f".{stamp}.{uuid.uuid4().hex[:8]}"
    try:
        hidden.mkdir()
        begin(hidden, space, *given)
    except (OSError, Halt) as error:
        shutil.rmtree(hidden, ignore_errors=True)
        cause = getattr(error.__cause__ or error, "strerror", error)
        raise BadInput(
            f"no run can begin in {parent} ({cause}). Free disk space there, or set another"
            " `results.root`."
        ) from error
    number, path = 1, parent / stamp
    while True:
        try:
            hidden.rename(path)
            return DrivenRun(path, space.config.plugins or None)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            if space.config.results.run is not None:
                shutil.rmtree(hidden, ignore_errors=True)
                results_folder(space, root)  # refuses it
            number += 1
            path = parent / f"{stamp}-{number}"


def _create_in_store(root: str, space: Space, *given: Any) -> DrivenRun:
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
    folder = copies_of(store.url) / f"lease-{lease.number:06d}"
    # left of a run of this name that somebody deleted from the store
    for stale in (folder, pending_folder(store.url)):
        shutil.rmtree(stale, ignore_errors=True)
    folder.mkdir(parents=True)
    begin(folder, space, *given)
    for file in WRITTEN_ONCE:
        store.upload(folder / file, file)
    storage = ObjectStorage(store, lease=lease, folder=folder)
    return DrivenRun(folder, space.config.plugins or None, storage)


def named_run(space: Space) -> RunDirectory | None:
    """The run that `results.run` names; None where it has not begun. Raises BadInput where it has
    other settings."""
    name = space.config.results.run
    if name is None:
        raise BadInput(
            "`--or-resume` continues the run of a given name. Give one, for example"
            " `results.run=first`."
        )
    root = space.config.results.root
    path: str | Path = (
        f"{root.rstrip('/')}/{folder_name(space)}/{name}"
        if is_url(root)
        else runs_folder(space) / name
    )
    if not (_begun(str(path)) if is_url(root) else Path(path).exists()):
        return None
    run = open_run(path, space.config.plugins or None, key="results.root")
    given, stored = (
        _fixed(parse_yaml(dump_yaml(tree.raw), "the space"))
        for tree in (with_sampler(space), run.space)
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
    """The settings that no resume may change."""
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
