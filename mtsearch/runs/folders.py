"""The folders of runs on disk: where a new run is made, and what it begins with."""

from __future__ import annotations

import datetime
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtsearch.config.errors import BadInput
from mtsearch.config.files import write_atomic
from mtsearch.config.space import Space
from mtsearch.runs.events import SCHEMA, EventLog


def begin(
    path: Path,
    space: Space,
    environment: Mapping[str, Any],
    name: str,
    profile: str | None,
    overrides: Sequence[str],
    single: bool,
) -> None:
    """Write the files that a run starts with."""
    write_atomic(path / "config.yaml", space.to_yaml())
    write_atomic(
        path / "environment.json", json.dumps(environment, indent=2, allow_nan=False) + "\n"
    )
    log = EventLog(path / "events.jsonl")
    log.append(
        "run",
        schema=SCHEMA,
        space=name,
        profile=profile,
        overrides=list(overrides),
        **({"single": True} if single else {}),
    )
    log.close()


def folder_name(space: Space) -> str:
    """The folder of a space's runs."""
    return re.sub(r"[^\w.-]+", "-", space.config.name)


def new_run_name() -> str:
    """A name for a run that starts now."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")


def results_folder(space: Space, root: str | Path | None = None) -> Path:
    """The folder of a space's runs, made where it is not there. Raises BadInput where it cannot be
    made, or `results.run` is there."""
    parent = runs_of(space, root)
    with _refused(root if root is not None else space.config.results.root):
        parent.mkdir(parents=True, exist_ok=True)
    _refuse_known(space, parent)
    return parent


def try_results(space: Space) -> None:
    """Try whether a run could be written, leaving nothing behind. Raises BadInput as
    `results_folder` does."""
    parent = runs_of(space)
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
            f"`results.root` is no folder that results can be written to: {folder}"
            f" ({error.strerror}). Give another."
        ) from None


def _refuse_known(space: Space, parent: Path) -> None:
    name = space.config.results.run
    if name is not None and (path := parent / name).exists():
        raise BadInput(
            f"`results.run` names what exists: {path}. Go on with that run by `python -m"
            f" mtsearch.run resume={path}`, or give another name."
        )


def runs_of(space: Space, root: str | Path | None = None) -> Path:
    """Where the runs of a space are made."""
    return Path(root if root is not None else space.config.results.root) / folder_name(space)
