"""Where a job keeps the state of its trial: in a folder that all nodes share, or in a store and the
node's outbox for it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from mtsearch.config.errors import BadInput
from mtsearch.runs.events import plain
from mtsearch.runs.object_store import Store, StoreError

if TYPE_CHECKING:
    from mtsearch.training import World

PATIENCE = 60.0  # seconds in which a state is asked for before a trial starts without it
# seconds in which the last state of a trial is tried to be uploaded before the outbox keeps it
LAST = 20.0
VARIABLE = "MTSEARCH_SCRATCH"
_FOLDER = "checkpoints"


class FolderCheckpoints:
    """States in a folder that every node sees."""

    problem: str | None = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self) -> Path:
        """The folder that holds the state, if there is any."""
        return self._folder

    def keep(self, trial: Any, last: bool) -> None:
        """Save a trial after a report."""
        trial.save(self._folder)

    def close(self) -> None:
        """Nothing is left."""


class ObjectStoreCheckpoints:
    """States of one trial as objects ``checkpoints/<trial>/<key>-<reports>.zip`` of a store.

    Every rank may look for the state; rank 0 keeps it. What could not be uploaded stays in this
    node's outbox.

    Args:
        url: of the run.
        trial: its name.
        key: of its configuration, so that a state goes with no other one. See `key_of`.
        every: seconds in which a state is uploaded at least, at the end of a report.
        patient: whether a state is expected and the store may be asked for it again and again.
        world: the ranks of the job.
    """

    def __init__(
        self,
        url: str,
        trial: str,
        key: str,
        every: float,
        patient: bool,
        world: World | None = None,
    ) -> None:
        self._store, self._trial, self._key, self._every = Store(url), trial, key, every
        self._patience, self._world = PATIENCE if patient else 0.0, world
        self._scratch = Path(tempfile.mkdtemp(prefix="mtsearch-state-"))
        self._out = outbox(url) / trial
        self._kept = time.monotonic()
        self._old: str | None = None  # the object that the next one supersedes
        self.problem: str | None = None

    def find(self) -> Path:
        """A folder with the newest state, if there is any. Raises BadInput where it is damaged,
        StoreError where it cannot be had."""
        folder = self._scratch / self._trial
        told = self._ask() if self._world is None or self._world.rank == 0 else None
        name = told if self._world is None else self._world.broadcast(told)
        if name is None:
            return folder
        path = self._out / name
        if not path.exists():
            path = self._scratch / name
            again(lambda: self._store.download(self._object(name), path), PATIENCE)
        unpack(path, folder, f"{self._store.url}/{self._object(name)}")
        return folder

    def _ask(self) -> str | None:
        """The name of the newest state in the store and, for a process that trains alone, the
        outbox; None also when the store is silent, for then the trial begins anew and makes the
        same reports."""
        here = [path.name for path in self._out.glob(f"{self._key}-*.zip")]
        try:
            if here and self._world is not None:
                self._empty_outbox()  # where the other ranks can find it
            there = again(
                lambda: list(self._store.list(f"{_FOLDER}/{self._trial}")), self._patience
            )
        except StoreError as error:
            self.problem, there = str(error), []
        found = [
            name for name in there if name.startswith(f"{self._key}-") and name.endswith(".zip")
        ]
        self._old = max(found, default=None)
        return max([*found, *(here if self._world is None else [])], default=None)

    def keep(self, trial: Any, last: bool) -> None:
        """Save and upload a trial after a report when it is time, always after its last one. A
        store that fails is told by `problem`."""
        if not last and time.monotonic() - self._kept < self._every:
            return
        folder = self._scratch / "fresh" / self._trial
        trial.save(folder)
        name = f"{self._key}-{len(trial.reports):08d}.zip"
        pack(folder, self._out / name)
        for older in self._out.glob(f"{self._key}-*.zip"):
            if older.name < name:
                older.unlink(missing_ok=True)
        shutil.rmtree(folder.parent)
        self._kept = time.monotonic()
        try:
            again(self._empty_outbox, LAST if last else 0.0)
            if self._old is not None and self._old != name:
                self._store.remove([self._object(self._old)])
            self._old, self.problem = name, None
        except StoreError as error:
            self.problem = str(error)

    def _empty_outbox(self) -> None:
        """Upload the newest state that waits, and forget the older ones."""
        _send_newest(self._store, self._trial, self._out, self._key)

    def _object(self, name: str) -> str:
        return f"{_FOLDER}/{self._trial}/{name}"

    def close(self) -> None:
        """Let go of the local files."""
        shutil.rmtree(self._scratch, ignore_errors=True)


def checkpoints_of(
    job: Mapping[str, Any], world: World | None
) -> FolderCheckpoints | ObjectStoreCheckpoints:
    """What the description of a job asks for: ``store`` holds the arguments of
    `ObjectStoreCheckpoints`, else ``folder`` is shared."""
    if job.get("store"):
        return ObjectStoreCheckpoints(**job["store"], world=world)
    return FolderCheckpoints(Path(job["folder"]))


def key_of(config: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits for a trial's configuration."""
    return hashlib.sha256(json.dumps(plain(config), sort_keys=True).encode()).hexdigest()[:8]


def newest(store: Store, trial: str, config: Mapping[str, Any], folder: Path) -> Path:
    """Download the newest state of a trial to `folder`; nothing where there is none. Raises
    BadInput where it is damaged."""
    names = [
        name for name in store.list(f"{_FOLDER}/{trial}") if name.startswith(f"{key_of(config)}-")
    ]
    if names:
        archive = folder.with_name(f".{folder.name}.zip")
        archive.parent.mkdir(parents=True, exist_ok=True)
        store.download(f"{_FOLDER}/{trial}/{max(names)}", archive)
        unpack(archive, folder, f"{store.url}/{_FOLDER}/{trial}/{max(names)}")
        archive.unlink()
    return folder


def send_outbox(
    store: Store, wanted: Mapping[str, str], between: Callable[[], None] = lambda: None
) -> None:
    """Upload what waits on this machine for trials in `wanted`, their keys by name, and forget the
    rest.

    `between` is called before each of them. Raises StoreError, and what `between` raises.
    """
    folder = outbox(store.url)
    for trial in sorted(folder.iterdir()) if folder.is_dir() else []:
        between()
        if trial.name in wanted:
            _send_newest(store, trial.name, trial, wanted[trial.name])
        else:
            shutil.rmtree(trial, ignore_errors=True)


def _send_newest(store: Store, trial: str, folder: Path, key: str) -> None:
    """Upload the newest state that waits in a trial's folder of the outbox and forget it and the
    older ones."""
    waiting = sorted(folder.glob(f"{key}-*.zip"))
    if waiting:
        try:
            store.upload(waiting[-1], f"{_FOLDER}/{trial}/{waiting[-1].name}")
        except StoreError:
            if waiting[-1].exists():  # else another process of this machine has just sent it
                raise
    for path in waiting:
        path.unlink(missing_ok=True)


def outbox(url: str) -> Path:
    """Where this machine keeps the states of a run that wait for its store."""
    return cache() / "outbox" / slug(url)


def cache() -> Path:
    """Where this machine keeps working copies and outboxes: `$MTSEARCH_SCRATCH`, else the user's
    cache folder."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else platformdirs.user_cache_path("mtsearch", appauthor=False)


def slug(url: str) -> str:
    """A folder name for a URL."""
    tail = re.sub(r"[^\w.-]+", "-", "-".join(url.rstrip("/").split("/")[-2:]))
    return f"{tail}-{hashlib.sha256(url.rstrip('/').encode()).hexdigest()[:8]}"


def pack(folder: Path, path: Path) -> None:
    """Write the files of a folder as an uncompressed archive, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with zipfile.ZipFile(fresh, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    os.replace(fresh, path)


def unpack(path: Path, folder: Path, name: str) -> None:
    """The inverse of `pack`. Raises BadInput where the archive is damaged."""
    fresh = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    fresh.mkdir()
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(fresh)
    except Exception as error:
        shutil.rmtree(fresh, ignore_errors=True)
        if (
            isinstance(error, OSError) and error.errno != errno.EINVAL
        ):  # the disk's; of damaged places in the archive comes EINVAL
            raise
        raise BadInput(f"the checkpoint {name} is damaged ({error}).") from None
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(fresh, folder)


def again(call: Any, seconds: float) -> Any:
    """The result of a call that is tried again for so many seconds while the store fails."""
    until, wait = time.monotonic() + seconds, 0.5
    while True:
        try:
            return call()
        except StoreError:
            if time.monotonic() + wait > until:
                raise
        time.sleep(wait)
        wait = min(2 * wait, 10.0)
