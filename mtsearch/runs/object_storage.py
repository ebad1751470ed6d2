"""A run at a URL: an object store holds it, and its driver works in a local copy. See
`mtsearch.runs.object_store` for what is stored there."""

from __future__ import annotations

import contextlib
import re
import shutil
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from mtsearch.config.errors import BadInput
from mtsearch.config.files import write_atomic
from mtsearch.config.temporary import remove_temporary, temporary_folder
from mtsearch.runs import uploader as uploaders
from mtsearch.runs.attachments import ATTACHMENTS, MAX_BYTES
from mtsearch.runs.checkpoints import (
    CheckpointLocation,
    config_key,
    download_newest,
    is_checkpoint,
)
from mtsearch.runs.events import EventLog, EventReader
from mtsearch.runs.lease import Lease, LeaseLost
from mtsearch.runs.names import is_trial_name
from mtsearch.runs.object_store import Missing, Store, StoreError
from mtsearch.runs.pending import cache_folder, folder_for, pending_folder, upload_pending
from mtsearch.runs.points import point_config, point_name
from mtsearch.runs.state import RunState
from mtsearch.runs.storage import CHECKPOINTS, CONFIG, ENVIRONMENT, EVENTS
from mtsearch.runs.uploader import EventUploader, fence, read_segments

WRITTEN_ONCE = (CONFIG, ENVIRONMENT)
_NOT_UPLOADED = (EVENTS, CHECKPOINTS, "export")  # uploaded otherwise, or the user's own
# the folders of a trial, each of which one driver writes as a whole
_OBSERVED = re.compile(r"tensorboard/[^/]+/|wandb/offline-run-\d+_\d+-([^/]+)/")


class ObjectStorage:
    """A run in an object store. See `RunStorage`.

    Args:
        store: at the run.
        lease: of a run that this process has just made; None to take one in `drive`.
        folder: the working copy of such a run.
    """

    shared_folder: Path | None = None

    def __init__(
        self, store: Store, *, lease: Lease | None = None, folder: Path | None = None
    ) -> None:
        self.store, self._lease, self._folder = store, lease, folder
        self._uploader: EventUploader | None = None
        self._keys: dict[str, str] = {}  # of the trials that keep their checkpoints, by name
        self._configs: dict[str, Mapping[str, Any]] = {}  # of all trials, by name
        self._stored: set[str] = set()  # trials that may have checkpoints in the store
        self._every = 0.0

    @property
    def address(self) -> str:
        return self.store.url

    def download(self) -> Path:
        """A temporary copy of the run, without its checkpoints, that ends with this object. Raises
        BadInput where there is no run."""
        temporary = temporary_folder("run")
        weakref.finalize(self, remove_temporary, temporary)
        folder = temporary / self.store.url.rpartition("/")[2]
        folder.mkdir()
        self._download(folder)
        self._folder = folder
        return folder

    def _download(self, folder: Path) -> None:
        try:
            for file in WRITTEN_ONCE:
                (folder / file).write_bytes(self.store.read(file))
            (folder / EVENTS).write_bytes(read_segments(self.store))
            self._download_attachments(folder)
        except Missing as error:
            hint = "A run prints its address as its last line, `run: URL`."
            raise BadInput(f"{self.store.url} is not a run directory: {error} {hint}") from None
        except StoreError as error:
            raise BadInput(f"the run cannot be read: {error}") from None

    def _download_attachments(self, folder: Path) -> None:
        for kind in ATTACHMENTS:
            names = [
                name
                for name, size in self.store.list(kind).items()
                if size <= MAX_BYTES and is_trial_name(name.rpartition(".")[0])
            ]
            (folder / kind).mkdir(exist_ok=True)
            for key, data in self.store.read_all(f"{kind}/{name}" for name in names).items():
                (folder / key).write_bytes(data)

    # ------------------------------------------------------------ driving

    @contextmanager
    def drive(self, run_id: str, upload_every: float) -> Iterator[EventLog]:
        new, self._every = self._lease is not None, upload_every
        if not new:
            self.store.check("resume")
        try:
            lease = self._lease or Lease.take(self.store)
        except StoreError as error:
            raise BadInput(f"the run cannot be driven: {error}") from None
        self._lease = None
        try:
            uploader = self._working_copy(lease, new)
        except BaseException as error:
            with contextlib.suppress(StoreError):
                lease.release()
            if isinstance(error, StoreError):
                raise BadInput(f"the run cannot be driven: {error}") from None
            raise
        self._uploader = uploader
        log = EventLog(uploader.path, run_id, self._on_append)
        try:
            uploader.start()
            uploader.wake()
            yield log
        finally:
            log.close()
            uploader.stop()
            with contextlib.suppress(StoreError, LeaseLost):
                uploader.send()
                upload_pending(self.store, self._keys, uploader.heartbeat)
                self._delete_copies(uploader.path.parent)  # before another driver has one here
                lease.release()

    def _working_copy(self, lease: Lease, new: bool) -> EventUploader:
        """Make the working copy, unless the run is new, and what uploads its events."""
        segment, sent = 0, b""
        folder = self._folder
        if not new:
            segment = fence(lease)
            folder = copies_of(self.store.url) / f"lease-{lease.number:06d}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            self._download(folder)
            sent = (folder / EVENTS).read_bytes()
            (folder / EVENTS).write_bytes(max([sent, *_unsent(folder, sent)], key=len))
            self._configs = _trials(folder)
            self._keys = {name: config_key(config) for name, config in self._configs.items()}
            self._stored = {
                name.partition("/")[0]
                for name in self.store.list(CHECKPOINTS)
                if is_checkpoint(name.partition("/")[2])
            }
        assert folder is not None
        self._folder = folder
        return EventUploader(
            lease,
            folder / EVENTS,
            segment=segment,
            offset=len(sent),
            every=self._every,
            after=partial(upload_pending, self.store, self._keys),
        )

    def _delete_copies(self, folder: Path) -> None:
        """Delete the working copy, as everything is in the store, and those that dead drivers left
        with nothing more in them."""
        sent = _whole_lines(folder)
        for copy in copies_of(self.store.url).glob("lease-*"):
            if sent.startswith(_whole_lines(copy)):
                shutil.rmtree(copy, ignore_errors=True)
        pending = pending_folder(self.store.url)
        for empty in (*pending.glob("*"), pending, copies_of(self.store.url)):
            with contextlib.suppress(OSError):
                empty.rmdir()

    def _on_append(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "start":
            self._configs[event["trial"]] = event["config"]
            self._keys[event["trial"]] = config_key(event["config"])
            self._stored.add(event["trial"])
        for index, point in enumerate(event.get("points") or ()):
            name = point_name(event["trial"], index)
            config = point_config(self._configs[event["trial"]], point)
            self._keys[name] = config_key(config)
            self._stored.add(name)
        if self._uploader is not None and (event["event"] != "report" or not self._every):
            self._uploader.wake()

    @property
    def abort_reason(self) -> str | None:
        return self._uploader.lost if self._uploader is not None else None

    def pop_messages(self) -> list[str]:
        found = []
        while self._uploader is not None and not self._uploader.messages.empty():
            found.append(self._uploader.messages.get())
        return found

    def flush(self) -> str | None:
        try:
            if self._uploader is not None:
                self._uploader.send(uploaders.LONGEST_WAIT)
                upload_pending(self.store, self._keys)
            self._upload_tables()
        except LeaseLost as error:
            return (
                f"{error} What this driver did since then is in {self._folder} and is not part of"
                " the run."
            )
        except StoreError as error:
            return (
                f"not everything could be uploaded: {error} It is in {self._folder} on this"
                " machine; a resume from here continues with it."
            )
        return None

    def _upload_tables(self) -> None:
        """Upload the files that are derived from the events, and delete those of observers that
        they replace. Raises StoreError."""
        assert self._folder is not None
        uploaded = set()
        for path in sorted(self._folder.rglob("*")):
            inside = path.relative_to(self._folder)
            local = (
                inside.name.startswith(".")
                or inside.parts[0] in (*WRITTEN_ONCE, *_NOT_UPLOADED)
                or inside.name.startswith("study.journal")
            )
            if path.is_file() and not path.is_symlink() and not local:
                self.store.upload(path, inside.as_posix())
                uploaded.add(inside.as_posix())
        renewed = {_observed(key) for key in uploaded} - {None}
        if renewed:  # new files have new names, so that both would be read
            stored = [
                f"{folder}/{name}"
                for folder in ("tensorboard", "wandb")
                for name in self.store.list(folder)
            ]
            self.store.remove(
                key for key in stored if key not in uploaded and _observed(key) in renewed
            )

    def attach(self, name: str, text: str) -> None:
        assert self._folder is not None
        (self._folder / name).parent.mkdir(exist_ok=True)
        write_atomic(self._folder / name, text)
        if self._uploader is not None:
            self._uploader.upload_later(name)

    # ------------------------------------------------------------ checkpoints

    def checkpoint_location(
        self, trial: str, config: Mapping[str, Any], expected: bool
    ) -> CheckpointLocation:
        return CheckpointLocation(
            url=self.store.url,
            trial=trial,
            key=config_key(config),
            every=self._every,
            expected=expected,
        )

    def fetch_checkpoint(self, trial: str, config: Mapping[str, Any]) -> Path:
        assert self._folder is not None
        try:
            return download_newest(self.store, trial, config, self._folder / CHECKPOINTS / trial)
        except StoreError as error:
            raise BadInput(f"the checkpoint of trial `{trial}` cannot be read: {error}") from None

    def delete_checkpoint(self, trial: str) -> None:
        """Have the checkpoint deleted, once the events that make it superfluous are uploaded."""
        self._keys.pop(trial, None)
        self._delete([trial])

    def prune_checkpoints(self, keep: Collection[str], known: Collection[str]) -> None:
        """Also have those of trials deleted whose starts were lost with another machine."""
        for trial in set(known) - set(keep):
            self._keys.pop(trial, None)
        self._delete(sorted(self._stored - set(keep)))

    def _delete(self, trials: Sequence[str]) -> None:
        for trial in trials:
            if self._uploader is not None and trial in self._stored and is_trial_name(trial):
                self._stored.remove(trial)
                self._uploader.delete_later(f"{CHECKPOINTS}/{trial}")


def copies_of(url: str) -> Path:
    """The folder of this machine for the working copies of a run."""
    return cache_folder() / "runs" / folder_for(url)


def _trials(folder: Path) -> dict[str, Mapping[str, Any]]:
    """The configurations of the trials of a working copy, by name."""
    state, reader = RunState(slim=True), EventReader(folder / EVENTS)
    for event in reader.read_new():
        state.fold(event, reader.line)
    records = [r for trial in state.trials.values() for r in (trial, *trial.points)]
    return {record.trial: record.config for record in records}


def _observed(key: str) -> str | None:
    """What the files that an observer keeps of one trial have in common, under whichever driver;
    None for other files."""
    found = _OBSERVED.match(key)
    return found and (found[1] or found[0])


def _unsent(folder: Path, sent: bytes) -> list[bytes]:
    """The events of working copies that dead drivers of this machine left, where they continue
    those in the store."""
    found = [_whole_lines(other) for other in folder.parent.glob("lease-*") if other != folder]
    return [events for events in found if events.startswith(sent)]


def _whole_lines(folder: Path) -> bytes:
    path = folder / EVENTS
    events = path.read_bytes() if path.exists() else b""
    return events[: events.rfind(b"\n") + 1]
