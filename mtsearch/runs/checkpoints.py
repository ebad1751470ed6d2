"""Where a job keeps the checkpoint of its trial: in a folder that all nodes share, or in an object
store."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mtsearch.config.temporary import remove_temporary, temporary_folder
from mtsearch.runs.archives import pack, unpack
from mtsearch.runs.events import plain
from mtsearch.runs.object_store import Store, StoreError
from mtsearch.runs.pending import CHECKPOINTS, pending_folder, upload_newest

if TYPE_CHECKING:
    from mtsearch.config.checkpoint_owner import CheckpointOwner
    from mtsearch.training import World

FIND_TIMEOUT = 60.0  # seconds of attempts to find a checkpoint before a trial starts without it
LAST_TIMEOUT = 20.0  # seconds of attempts to upload the last checkpoint of a trial

T = TypeVar("T")


@dataclass(frozen=True)
class CheckpointLocation:
    """Where the checkpoint of a trial is; part of the description of a job.

    Args:
        folder: path of the folder, where the run is in a folder.
        url: of the run, where it is in an object store.
        trial: name of the trial.
        key: of its configuration, see `config_key`.
        every: seconds between two uploads, at the ends of reports.
        expected: whether there should be a checkpoint, so that a store that fails is read again.
    """

    folder: str | None = None
    url: str | None = None
    trial: str = ""
    key: str = ""
    every: float = 0.0
    expected: bool = False

    def open(self, world: World | None) -> FolderCheckpoints | ObjectStoreCheckpoints:
        """Access to the checkpoint for a process of the trial."""
        if self.url is not None:
            return ObjectStoreCheckpoints(
                self.url, self.trial, self.key, self.every, self.expected, world
            )
        assert self.folder is not None
        return FolderCheckpoints(Path(self.folder))

    def of_point(self, name: str, config: Mapping[str, Any]) -> CheckpointLocation:
        """Where a point of the trial keeps its checkpoint."""
        folder = None if self.folder is None else str(Path(self.folder).with_name(name))
        return replace(self, folder=folder, trial=name, key=config_key(config), expected=False)

    def to_dict(self) -> dict[str, Any]:
        """As a JSON tree."""
        return asdict(self)


class FolderCheckpoints:
    """The checkpoint of a trial in a folder that every node sees."""

    problem: str | None = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self) -> Path:
        """The folder that contains the checkpoint, if there is one."""
        return self._folder

    def save(self, trial: Any, owner: CheckpointOwner | None, last: bool) -> None:
        """Save a trial after a report; `last` marks its last one."""
        trial.save(self._folder, owner)

    def close(self) -> None:
        """Nothing to release."""


class ObjectStoreCheckpoints:
    """The checkpoints of one trial as objects ``checkpoints/<trial>/<key>-<reports>.zip``.

    Every rank may find the checkpoint; rank 0 saves it. What could not be uploaded waits on this
    machine.

    Args:
        url: of the run.
        trial: name of the trial.
        key: of its configuration: a checkpoint with another key is not used. See `config_key`.
        every: seconds between two uploads, at the ends of reports.
        expected: whether there should be a checkpoint, so that a store that fails is read again.
        world: the ranks of the job; None for one process.
    """

    def __init__(
        self,
        url: str,
        trial: str,
        key: str,
        every: float,
        expected: bool,
        world: World | None = None,
    ) -> None:
        self._store, self._trial, self._key, self._every = Store(url), trial, key, every
        self._timeout, self._world = FIND_TIMEOUT if expected else 0.0, world
        self._scratch = temporary_folder("state")
        self._pending = pending_folder(url) / trial
        self._saved_at = time.monotonic()
        self._old: str | None = None  # the object that the next one supersedes
        self.problem: str | None = None

    def find(self) -> Path:
        """A folder with the newest checkpoint, if there is one. Raises BadInput where it is
        damaged, StoreError where it cannot be downloaded."""
        folder = self._scratch / self._trial
        found = self._newest() if self._world is None or self._world.rank == 0 else None
        name = found if self._world is None else self._world.broadcast(found)
        if name is None:
            return folder
        path = self._pending / name
        if not path.exists():
            path = self._scratch / name
            retry(lambda: self._store.download(self._object(name), path), FIND_TIMEOUT)
        unpack(path, folder, f"{self._store.url}/{self._object(name)}")
        return folder

    def _newest(self) -> str | None:
        """The name of the newest checkpoint in the store and, for a process that trains alone, of
        those that wait on this machine. None also where the store fails: the trial then begins anew
        and makes the same reports."""
        here = [path.name for path in self._pending.glob(f"{self._key}-*.zip")]
        try:
            if here and self._world is not None:
                self._upload_pending()  # where the other ranks find it
            stored = retry(
                lambda: list(self._store.list(f"{CHECKPOINTS}/{self._trial}")), self._timeout
            )
        except StoreError as error:
            self.problem, stored = str(error), []
        found = [name for name in stored if is_checkpoint(name, self._key)]
        self._old = max(found, default=None)
        return max([*found, *(here if self._world is None else [])], default=None)

    def save(self, trial: Any, owner: CheckpointOwner | None, last: bool) -> None:
        """Save and upload a trial after a report where an upload is due, always after its last one.
        `problem` says whether the store failed."""
        if not last and time.monotonic() - self._saved_at < self._every:
            return
        folder = self._scratch / "fresh" / self._trial
        trial.save(folder, owner)
        name = f"{self._key}-{len(trial.reports):08d}.zip"
        pack(folder, self._pending / name)
        for older in self._pending.glob(f"{self._key}-*.zip"):
            if older.name < name:
                older.unlink(missing_ok=True)
        shutil.rmtree(folder.parent)
        self._saved_at = time.monotonic()
        try:
            retry(self._upload_pending, LAST_TIMEOUT if last else 0.0)
            if self._old is not None and self._old != name:
                self._store.remove([self._object(self._old)])
            self._old, self.problem = name, None
        except StoreError as error:
            self.problem = str(error)

    def _upload_pending(self) -> None:
        upload_newest(self._store, self._trial, self._pending, self._key)

    def _object(self, name: str) -> str:
        return f"{CHECKPOINTS}/{self._trial}/{name}"

    def close(self) -> None:
        """Delete the local files."""
        remove_temporary(self._scratch)


def config_key(config: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits for a trial's configuration."""
    return hashlib.sha256(json.dumps(plain(config), sort_keys=True).encode()).hexdigest()[:8]


def is_checkpoint(name: str, key: str | None = None) -> bool:
    """Whether the name of an object below a trial's folder is that of a checkpoint, of any
    configuration or of the one with this key."""
    found, _, rest = name.partition("-")
    count, _, suffix = rest.partition(".")
    hexadecimal = len(found) == 8 and all(c in "0123456789abcdef" for c in found)
    numbered = suffix == "zip" and count.isascii() and count.isdigit()
    return hexadecimal and numbered and key in (None, found)


def download_newest(store: Store, trial: str, config: Mapping[str, Any], folder: Path) -> Path:
    """Download the newest checkpoint of a trial to `folder`; nothing where there is none. Raises
    StoreError, and BadInput where it is damaged."""
    key = config_key(config)
    names = [name for name in store.list(f"{CHECKPOINTS}/{trial}") if is_checkpoint(name, key)]
    if names:
        archive = folder.with_name(f".{folder.name}.zip")
        archive.parent.mkdir(parents=True, exist_ok=True)
        store.download(f"{CHECKPOINTS}/{trial}/{max(names)}", archive)
        unpack(archive, folder, f"{store.url}/{CHECKPOINTS}/{trial}/{max(names)}")
        archive.unlink()
    return folder


def retry(call: Callable[[], T], seconds: float) -> T:
    """The result of a call that is repeated for at most so many seconds while the store fails."""
    until, wait = time.monotonic() + seconds, 0.5
    while True:
        try:
            return call()
        except StoreError:
            if time.monotonic() + wait > until:
                raise
        time.sleep(wait)
        wait = min(2 * wait, 10.0)
