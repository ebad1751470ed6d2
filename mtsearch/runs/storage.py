"""Where a run is kept: the interface that a driver uses, and the run in a folder."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import filelock

from mtsearch.config.errors import BadInput
from mtsearch.config.files import write_atomic
from mtsearch.runs.checkpoints import CheckpointLocation
from mtsearch.runs.events import EventLog
from mtsearch.runs.names import is_trial_name

EVENTS, CONFIG, ENVIRONMENT = "events.jsonl", "config.yaml", "environment.json"
CHECKPOINTS, JOURNAL = "checkpoints", "study.journal"


class RunStorage(Protocol):
    """A place where a run is kept. `FolderStorage` and `ObjectStorage` implement it."""

    @property
    def address(self) -> str:
        """The folder or URL: what ``resume=`` and ``run=`` take."""

    @property
    def shared_folder(self) -> Path | None:
        """The folder that all nodes must see; None where the run is in an object store."""

    @property
    def abort_reason(self) -> str | None:
        """Why the driver has to stop, once it has to."""

    def drive(self, run_id: str, upload_every: float) -> AbstractContextManager[EventLog]:
        """Be the only driver of the run, on whichever machine, until the end of the context.

        Args:
            run_id: of the run.
            upload_every: seconds between two uploads of what is not urgent.

        Returns:
            The log to append to; the folder of its file is the driver's working folder.

        Raises:
            BadInput: another process drives the run.
        """

    def pop_messages(self) -> list[str]:
        """Lines for the user about the place of the run, each once."""

    def flush(self) -> str | None:
        """Bring everything, also the tables, to where the run is kept. Returns a sentence where
        that failed."""

    def attach(self, name: str, text: str) -> None:
        """Keep a file of a trial, see `mtsearch.runs.attachments`; `name` is relative to the run.
        For the driver. Raises OSError."""

    def checkpoint_location(
        self, trial: str, config: Mapping[str, Any], expected: bool
    ) -> CheckpointLocation:
        """Where the job of a trial keeps its checkpoint, and whether one is expected."""

    def fetch_checkpoint(self, trial: str, config: Mapping[str, Any]) -> Path:
        """A local folder that contains the checkpoint of a trial, if there is one.
        Raises BadInput."""

    def delete_checkpoint(self, trial: str) -> None:
        """Delete the checkpoint of a trial, if there is one."""

    def prune_checkpoints(self, keep: Collection[str], known: Collection[str]) -> None:
        """Delete the checkpoints of the trials in `known` that are not in `keep`, and what
        interrupted saves left. For the driver, before it starts trials."""


class FolderStorage:
    """A run in a folder. See `RunStorage`."""

    abort_reason: str | None = None

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def address(self) -> str:
        return str(self.path)

    @property
    def shared_folder(self) -> Path | None:
        return self.path

    @contextmanager
    def drive(self, run_id: str, upload_every: float) -> Iterator[EventLog]:
        lock = filelock.FileLock(str(self.path / ".driver.lock"))
        holder = self.path / ".driver.holder"
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise BadInput(
                f"the run {self.path} is being driven by {_read_line(holder) or 'another process'}."
                " Wait for its end or stop it, then resume again."
            ) from None
        except OSError as error:
            raise BadInput(
                f"the run {self.path} cannot be locked ({error.strerror}). Make the folder"
                " writable."
            ) from error
        log = EventLog(self.path / EVENTS, run_id)
        try:
            with suppress(OSError):  # only for the sentence above
                write_atomic(holder, f"process {os.getpid()} on {socket.gethostname()}")
            yield log
        finally:
            holder.unlink(missing_ok=True)
            lock.release()
            log.close()

    def pop_messages(self) -> list[str]:
        return []

    def flush(self) -> str | None:
        return None

    def attach(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(exist_ok=True)
        write_atomic(self.path / name, text)

    def checkpoint_location(
        self, trial: str, config: Mapping[str, Any], expected: bool
    ) -> CheckpointLocation:
        folder = (self.path / CHECKPOINTS / trial).resolve()
        return CheckpointLocation(folder=str(folder), trial=trial)

    def fetch_checkpoint(self, trial: str, config: Mapping[str, Any]) -> Path:
        check_links(self.path)
        return self.path / CHECKPOINTS / trial

    def delete_checkpoint(self, trial: str) -> None:
        folder = self.path / CHECKPOINTS
        if is_trial_name(trial) and not folder.is_symlink():
            for path in [folder / trial, *_partial(folder, {trial})]:
                _remove(path)

    def prune_checkpoints(self, keep: Collection[str], known: Collection[str]) -> None:
        folder = self.path / CHECKPOINTS
        for trial in set(known) - set(keep):
            self.delete_checkpoint(trial)
        if not folder.is_symlink():
            for path in _partial(folder, known):
                # `.old` is the previous checkpoint while it is replaced: it may be the only one
                if path.suffix != ".old" or (folder / path.name[1:-4]).exists():
                    _remove(path)


def check_links(path: Path) -> None:
    """Raises BadInput where a run directory contains a symbolic link, through which files outside
    it could be read, written or deleted, or a pipe, which would be read without end. Links of
    `wandb` within its own folder are allowed."""
    inside = path.resolve() / "wandb"
    for folder, folders, files in os.walk(path, followlinks=False):
        for name in (*folders, *files):
            found = Path(folder, name)
            # of drivers of older versions that were killed; nothing reads it
            lock = found.parent == path and name.startswith(f"{JOURNAL}.lock")
            mode = found.lstat().st_mode
            if not stat.S_ISLNK(mode):
                if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                    raise BadInput(
                        f"{path} contains a pipe or device, {found.relative_to(path)}, and a run"
                        " has none. Remove it."
                    )
            elif not lock and not found.resolve().is_relative_to(inside):
                raise BadInput(
                    f"{path} contains a link, {found.relative_to(path)}, and a run has none."
                    " Replace it by what it points to, or remove it."
                )


def _partial(folder: Path, trials: Collection[str]) -> list[Path]:
    """What interrupted saves of these trials left: ``.0001.1a2b3c4d``, ``.0001.old``."""
    found = []
    for path in folder.glob(".*.*") if folder.is_dir() else ():
        match = re.fullmatch(r"\.(.+)\.([0-9a-f]+|old)", path.name)
        if match and match[1] in trials:
            found.append(path)
    return found


def _remove(path: Path) -> None:
    """Delete a folder, and nothing that a link points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)


def _read_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
