"""Runs wherever they are kept: in a folder, or at a URL with a local working copy. See `storage`
for what stands at the URL."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from mtsearch.config.errors import BadInput
from mtsearch.runs import mirror as mirrors
from mtsearch.runs.checkpoints import cache, key_of, newest, outbox, send_outbox, slug
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.events import EventLog
from mtsearch.runs.lease import Lease, LeaseLost
from mtsearch.runs.mirror import Mirror, fence, read_segments
from mtsearch.runs.object_store import Missing, Store, StoreError

_FIRST = ("config.yaml", "environment.json")  # written once
_LOCAL = ("events.jsonl", "checkpoints", "export")  # in segments, elsewhere, at the user's
_OBSERVED = re.compile(
    r"tensorboard/[^/]+/|wandb/offline-run-\d+_\d+-([^/]+)/"
)  # folders of a trial, which a driver writes as a whole


class RemoteRun(RunDirectory):
    """A run at a URL. Its `path` is a copy of this process: to read from, or in `driver_lock` to
    work in.

    Args:
        store: at the run.
        plugins: as for `RunDirectory`.
        lease, folder: of a run that this process has just made; else the run is downloaded.
    """

    def __init__(
        self,
        store: Store,
        plugins: Sequence[str] | None = None,
        *,
        lease: Lease | None = None,
        folder: Path | None = None,
    ) -> None:
        self.store, self._lease = store, lease
        self._mirror: Mirror | None = None
        self._keys: dict[str, str] = {}  # of the trials that keep their states, by name
        self._told: set[str] = set()
        self._there: set[str] = set()  # trials that may have states in the store
        self._every = 0.0
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="mtsearch-run-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self._download(folder)
        super().__init__(folder, plugins)

    def _download(self, folder: Path) -> None:
        try:
            for file in _FIRST:
                (folder / file).write_bytes(self.store.read(file))
            (folder / "events.jsonl").write_bytes(read_segments(self.store))
        except Missing as error:
            hint = "A run prints its address as its last line, `run: URL`."
            raise BadInput(f"{self.store.url} is no run directory: {error} {hint}") from None
        except StoreError as error:
            raise BadInput(f"the run cannot be read: {error}") from None

    @property
    def address(self) -> str:
        return self.store.url

    @property
    def name(self) -> str:
        return self.store.url.rpartition("/")[2]

    @property
    def place(self) -> str:
        return f"{self.address} (working copy {self.path})"

    # ------------------------------------------------------------ driving

    @contextmanager
    def driver_lock(self) -> Iterator[None]:
        """Hold the run as its only driver, with a working copy that is sent to the store. Raises
        BadInput where another one drives it."""
        new = self._lease is not None
        if not new:
            self.store.check("resume")
        try:
            lease = self._lease or Lease.take(self.store)
        except StoreError as error:
            raise BadInput(f"the run cannot be driven: {error}") from None
        self._lease = None
        try:
            self._mirror = self._mirrored(lease, new)
        except BaseException as error:
            with contextlib.suppress(StoreError):
                lease.release()
            if isinstance(error, StoreError):
                raise BadInput(f"the run cannot be driven: {error}") from None
            raise
        try:
            self._mirror.start()
            self._mirror.wake()
            yield
        finally:
            self.log.close()
            self._mirror.stop()
            with contextlib.suppress(StoreError, LeaseLost):
                self._mirror.send()
                send_outbox(self.store, self._keys, self._mirror.sign)
                self._forget()  # before anybody else can have a working copy on this machine
                lease.release()

    def _mirrored(self, lease: Lease, new: bool) -> Mirror:
        """Make the working copy, unless the run is new, and what sends it."""
        segment, sent = 0, b""
        if not new:
            segment = fence(lease)
            folder = _copies(self.store.url) / f"lease-{lease.number:06d}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            self._download(folder)
            sent = (folder / "events.jsonl").read_bytes()
            (folder / "events.jsonl").write_bytes(max([sent, *_unsent(folder, sent)], key=len))
            self.path = folder
            self._keys = {
                trial.trial: key_of(trial.config) for trial in self.state().trials.values()
            }
            self._there = {name.partition("/")[0] for name in self.store.list("checkpoints")}
        self._every = self.config.results.upload_every
        self.log = _SentLog(self.path / "events.jsonl", self._heard)
        return Mirror(
            lease,
            self.path / "events.jsonl",
            segment=segment,
            offset=len(sent),
            every=self._every,
            after=partial(send_outbox, self.store, self._keys),
        )

    def _forget(self) -> None:
        """Everything is in the store: let the working copy end with this process, and delete those
        that dead drivers left."""
        sent = _whole(self.path)
        folder = Path(tempfile.mkdtemp(prefix="mtsearch-run-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.path = Path(shutil.move(self.path, folder / self.name))
        self.log = EventLog(self.path / "events.jsonl")
        for copy in _copies(self.store.url).glob("lease-*"):
            if sent.startswith(_whole(copy)):
                shutil.rmtree(copy, ignore_errors=True)
        for empty in (
            *outbox(self.store.url).glob("*"),
            outbox(self.store.url),
            _copies(self.store.url),
        ):
            with contextlib.suppress(OSError):
                empty.rmdir()

    def _heard(self, entry: Mapping[str, Any]) -> None:
        if entry["event"] == "start":
            self._keys[entry["trial"]] = key_of(entry["config"])
            self._there.add(entry["trial"])
        if self._mirror is not None and (entry["event"] != "report" or not self._every):
            self._mirror.wake()

    @property
    def abort_reason(self) -> str | None:
        return self._mirror.lost if self._mirror is not None else None

    def pop_messages(self) -> list[str]:
        found = []
        while self._mirror is not None and not self._mirror.news.empty():
            found.append(self._mirror.news.get())
        return found

    def on_store_error(self, problem: str | None) -> None:
        """A trial's process had trouble with the store."""
        if problem is not None and self._mirror is not None and problem not in self._told:
            self._told.add(problem)
            self._mirror.news.put(f"{problem} The state waits on its machine.")

    def flush(self) -> str | None:
        assert self._mirror is not None
        try:
            self._mirror.send(mirrors.PATIENCE)
            send_outbox(self.store, self._keys)
            self.send_tables()
        except LeaseLost as error:
            return (
                f"{error} What this driver did since then is in {self.path} and is not part of the"
                " run."
            )
        except StoreError as error:
            return (
                f"not everything could be uploaded: {error} It is in {self.path} on this machine; a"
                " resume from here goes on with it."
            )
        return None

    def send_tables(self) -> None:
        """Upload the files that are derived from the events, and delete those of observers that
        they replace. Raises StoreError."""
        here = set()
        for path in sorted(self.path.rglob("*")):
            inside = path.relative_to(self.path)
            local = (
                inside.name.startswith(".")
                or inside.parts[0] in (*_FIRST, *_LOCAL)
                or inside.name.startswith("study.journal")
            )
            if path.is_file() and not local:
                self.store.upload(path, inside.as_posix())
                here.add(inside.as_posix())
        anew = {_observed(key) for key in here} - {None}
        if anew:  # new files have new names, so that both would be read
            there = [
                f"{folder}/{name}"
                for folder in ("tensorboard", "wandb")
                for name in self.store.list(folder)
            ]
            self.store.remove(key for key in there if key not in here and _observed(key) in anew)

    # ------------------------------------------------------------ checkpoints

    def states(
        self, trial: str, config: Mapping[str, Any], expected: bool = False
    ) -> dict[str, Any]:
        return {
            "store": {
                "url": self.store.url,
                "trial": trial,
                "key": key_of(config),
                "every": self._every,
                "patient": expected,
            }
        }

    def fetch(self, trial: str) -> Path:
        """Download a trial's newest state. Raises BadInput where it is damaged or the store
        fails."""
        try:
            return newest(
                self.store, trial, self.state().trials[trial].config, self.checkpoint(trial)
            )
        except StoreError as error:
            raise BadInput(f"the checkpoint of trial `{trial}` cannot be read: {error}") from None

    def kept_checkpoints(self) -> list[str]:
        return sorted(self._there | set(self._keys))

    def drop_checkpoint(self, trial: str) -> None:
        """Have a trial's state deleted, once what makes it superfluous is in the store."""
        self._keys.pop(trial, None)
        self._drop([trial])

    def remove_partial_checkpoints(self) -> None:
        """Have the states of trials deleted that the events do not know: their starts were lost
        with another machine."""
        self._drop(sorted(self._there - set(self._keys)))

    def _drop(self, trials: Sequence[str]) -> None:
        for trial in trials:
            if self._mirror is not None and trial in self._there:
                self._there.remove(trial)
                self._mirror.drop(f"checkpoints/{trial}")


class _SentLog(EventLog):
    """An event log that tells of each event it has written."""

    def __init__(self, path: Path, heard: Any) -> None:
        super().__init__(path)
        self._heard = heard

    def append(self, event: str, **fields: Any) -> dict[str, Any]:
        entry = super().append(event, **fields)
        self._heard(entry)
        return entry


def _observed(key: str) -> str | None:
    """What the files that an observer keeps of one trial have in common, under whichever driver;
    None for other files."""
    found = _OBSERVED.match(key)
    return found and (found[1] or found[0])


def _copies(url: str) -> Path:
    return cache() / "runs" / slug(url)


def _unsent(folder: Path, sent: bytes) -> list[bytes]:
    """The events of working copies that dead drivers of this machine left, as far as they continue
    those in the store."""
    found = [_whole(other) for other in folder.parent.glob("lease-*") if other != folder]
    return [events for events in found if events.startswith(sent)]


def _whole(folder: Path) -> bytes:
    path = folder / "events.jsonl"
    events = path.read_bytes() if path.exists() else b""
    return events[: events.rfind(b"\n") + 1]
