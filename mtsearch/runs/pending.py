"""Checkpoints on this machine that still have to be uploaded to the object store of their run."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import platformdirs

from mtsearch.runs.object_store import Store, StoreError

VARIABLE = "MTSEARCH_SCRATCH"
CHECKPOINTS = "checkpoints"  # the folder of a run


def pending_folder(url: str) -> Path:
    """The folder of this machine for the checkpoints of a run that wait for its store."""
    return cache_folder() / "outbox" / folder_for(url)


def cache_folder() -> Path:
    """The folder of this machine for working copies and waiting uploads: `$MTSEARCH_SCRATCH`, else
    the user's cache folder."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else platformdirs.user_cache_path("mtsearch", appauthor=False)


def folder_for(url: str) -> str:
    """A folder name for a URL."""
    tail = re.sub(r"[^\w.-]+", "-", "-".join(url.rstrip("/").split("/")[-2:]))
    return f"{tail}-{hashlib.sha256(url.rstrip('/').encode()).hexdigest()[:8]}"


def upload_pending(
    store: Store, wanted: Mapping[str, str], between: Callable[[], None] = lambda: None
) -> None:
    """Upload the checkpoints that wait on this machine and delete those that nobody needs.

    Args:
        store: of the run.
        wanted: configuration keys by trial, of the trials that keep their checkpoints.
        between: called before each upload.

    Raises:
        StoreError: the store fails; and what `between` raises.
    """
    folder = pending_folder(store.url)
    for trial in sorted(folder.iterdir()) if folder.is_dir() else []:
        between()
        if trial.name in wanted:
            upload_newest(store, trial.name, trial, wanted[trial.name])
        else:
            shutil.rmtree(trial, ignore_errors=True)


def upload_newest(store: Store, trial: str, folder: Path, key: str) -> None:
    """Upload the newest checkpoint in a trial's folder of waiting uploads and delete it and the
    older ones. Raises StoreError."""
    waiting = sorted(folder.glob(f"{key}-*.zip"))
    if waiting:
        try:
            store.upload(waiting[-1], f"{CHECKPOINTS}/{trial}/{waiting[-1].name}")
        except StoreError:
            if waiting[-1].exists():  # else another process of this machine has just uploaded it
                raise
    for path in waiting:
        path.unlink(missing_ok=True)
