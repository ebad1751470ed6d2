"""The folders of runs: where a new run is made, and the files that it begins with."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtsearch.config.errors import BadInput
from mtsearch.config.files import write_atomic
from mtsearch.config.space import Space
from mtsearch.config.trust import trust_plugins
from mtsearch.runs.events import SCHEMA, EventLog
from mtsearch.runs.storage import CONFIG, ENVIRONMENT, EVENTS


def begin(
    path: Path,
    space: Space,
    environment: Mapping[str, Any],
    name: str,
    profile: str | None,
    overrides: Sequence[str],
    single: bool,
) -> None:
    """Write the files that a run starts with, and for this user which plug-ins it began with."""
    configuration, run_id = with_sampler(space).to_yaml(), uuid.uuid4().hex
    write_atomic(path / CONFIG, configuration)
    write_atomic(path / ENVIRONMENT, json.dumps(environment, indent=2, allow_nan=False) + "\n")
    trust_plugins(run_id, space.config.plugins)
    log = EventLog(path / EVENTS, run_id)
    log.append(
        "run",
        schema=SCHEMA,
        config_sha256=hashlib.sha256(configuration.encode()).hexdigest(),
        space=name,
        profile=profile,
        overrides=list(overrides),
        **({"single": True} if single else {}),
    )
    log.close()


def with_sampler(space: Space) -> Space:
    """The space with its sampler written out, so that another default changes no run."""
    search = space.raw.get("search") or {}
    if "sampler" in search:
        return space
    return Space({**space.raw, "search": {**search, "sampler": space.config.search.sampler.name}})


def folder_name(space: Space) -> str:
    """The folder of a space's runs."""
    return re.sub(r"[^\w.-]+", "-", space.config.name)


def new_run_name() -> str:
    """A name for a run that starts now."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")


def results_folder(space: Space, root: str | Path | None = None) -> Path:
    """The folder of a space's runs, created where it does not exist. Raises BadInput where it
    cannot be created, or contains the run that `results.run` names."""
    parent = runs_folder(space, root)
    with _refused(root if root is not None else space.config.results.root):
        parent.mkdir(parents=True, exist_ok=True)
    _refuse_known(space, parent)
    return parent


def try_results(space: Space) -> None:
    """Check that a run could be written, without creating one. Raises BadInput as
    `results_folder`."""
    parent = runs_folder(space)
    there = next(path for path in (parent.absolute(), *parent.absolute().parents) if path.exists())
    with (
        _refused(space.config.results.root),
        tempfile.TemporaryDirectory(dir=there, prefix=".mtsearch-"),
    ):
        pass
    _refuse_known(space, parent)


@contextmanager
def _refused(folder: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(
            f"`results.root` is not a folder that results can be written to: {folder}"
            f" ({error.strerror}). Give another."
        ) from None


def _refuse_known(space: Space, parent: Path) -> None:
    name = space.config.results.run
    if name is not None and (path := parent / name).exists():
        raise BadInput(
            f"`results.run` names a run that exists: {path}. Continue that run with `python -m"
            f" mtsearch.run resume={path}`, or give another name."
        )


def runs_folder(space: Space, root: str | Path | None = None) -> Path:
    """The folder for the runs of a space."""
    return Path(root if root is not None else space.config.results.root) / folder_name(space)
