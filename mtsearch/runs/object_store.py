"""Objects below a URL, accessed through fsspec, and the layout of a run there.

A run whose `results.root` is a URL works in a local folder and is mirrored to the URL, from which
it can be resumed, reported and exported on another machine. `URL/<space>/<run id>/` contains

* ``config.yaml``, ``environment.json``: written once;
* ``lease/000001.json``, ...: one object per driver, written by an exclusive create, which the store
  refuses if the object exists. The newest one names the owner, who overwrites it every few seconds.
  A driver may create the next one when the newest is released, or has not changed for its term by
  the *store's* clock (`mtsearch.runs.lease`); the clocks of the machines are never compared;
* ``events/00000001.jsonl``, ...: immutable numbered segments of ``events.jsonl``, each written by
  an exclusive create too. A new driver first creates an empty segment as a fence: a driver that
  lost the lease can add nothing after it, however late it continues, and stops
  (`mtsearch.runs.uploader`). Two drivers therefore cannot both write a run, even if the lease
  expired for one that was alive;
* ``checkpoints/<trial>/<key>-<reports>.zip``: the state of a trial after that number of reports,
  where ``key`` identifies its configuration; uploaded by the process that trains it
  (`mtsearch.runs.checkpoints`);
* tables, plot and page, replaced when a driver ends.

Guarantees: starts, ends and tests are uploaded immediately, in the background; reports and the
states of unfinished trials at least every `results.upload_every` seconds. The last state of a trial
is uploaded before the event of its end. A checkpoint is deleted only after the events that replace
it are in the store. If the driver's machine is lost, at most the reports of the last `upload_every`
seconds are trained again, and no finished trial is: one whose end was not uploaded is found
finished in its checkpoint. If only the driver process ends, a resume on the same machine also finds
what was not uploaded. While the store fails, the run continues locally.

S3 and Google Cloud Storage support exclusive creates, which is tested at the start. For other
stores a create is "read, write, wait, read again", so that of two drivers that start within the
same two seconds one withdraws; the remaining risk is a driver that was suspended for longer than
its term between reading and writing one segment. If a file system shows partially written files,
objects are written under another name and renamed.
"""

from __future__ import annotations

import contextlib
import datetime
import threading
import uuid
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import fsspec

from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.secrets import refuse_secrets

# Protocols whose servers may refuse to overwrite an object.
EXCLUSIVE = ("s3", "s3a", "gs", "gcs")
# Protocols whose objects are visible only when they are complete.
ATOMIC = (*EXCLUSIVE, "az", "abfs", "abfss", "adl", "oss", "oci", "obs")
_USUAL = ("s3", "gs", "az", "sftp", "hdfs", "webdav", "smb")
PROTOCOLS = (*ATOMIC, *_USUAL)
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
CHECK_TIMEOUT = 40.0  # timeout of the check before work starts, in seconds
SETTLE = 2.0  # seconds until the last of concurrent writes is visible without exclusive creates


class StoreError(OSError):
    """An operation of a store failed. One sentence."""


class Missing(StoreError):
    """The object, folder or bucket does not exist."""


class Denied(StoreError):
    """The credentials do not allow the operation, or are missing."""


def is_url(place: str | Path) -> bool:
    """Whether results are kept in an object store, not in a folder."""
    return "://" in str(place)


def check_url(url: str, key: str = "results.root") -> None:
    """Raise BadInput for a URL that cannot keep results."""
    protocol = url.partition("://")[0]
    if protocol in ("file", "local"):
        raise BadInput(
            f"`{key}` is a folder of this machine written as a URL: {url}. Write the path without"
            f" `{protocol}://`."
        )
    if protocol == "memory":
        raise BadInput(
            f"`{key}={url}` would be lost when its process ends. Give a folder, or a store such as"
            " s3://bucket/prefix."
        )
    refuse_secrets(url, key)
    if protocol not in fsspec.available_protocols() or "::" in url:
        raise BadInput(
            f"`{key}={url}` has no protocol that fsspec knows. {nearest(protocol, _USUAL)}"
        )


class Store:
    """Objects by their keys below a URL. Every method raises `StoreError` if the store fails."""

    def __init__(self, url: str) -> None:
        """Create the client, without a request to the store. Raises BadInput if the client is not
        installed or not configured."""
        self.url = url.rstrip("/")
        self.protocol = self.url.partition("://")[0]
        self._refuses = self.protocol in EXCLUSIVE
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.url, **_options(self.protocol))
        except ImportError as error:
            extra = EXTRAS.get(self.protocol)
            line = f"pip install 'mtsearch[{extra}]'" if extra else " ".join(str(error).split())
            raise BadInput(
                f"{self.url} needs a client of `{self.protocol}://` that is not installed. Install"
                f" it: {line}"
            ) from None
        except Exception as error:  # clients raise any exception for invalid settings
            raise BadInput(f"{self.url} cannot be opened: {_reason(error)}.") from error
        self._root = self._root.rstrip("/")

    def below(self, key: str) -> Store:
        """The store below a key of this one."""
        found = Store(f"{self.url}/{key}")
        found._refuses = self._refuses
        return found

    # ------------------------------------------------------------ reading

    def list(self, folder: str) -> dict[str, int]:
        """Sizes in bytes by key relative to `folder`; empty if there are no objects."""
        place = self._path(folder)

        def find() -> dict[str, int]:
            self._files.invalidate_cache()
            try:
                found = self._files.find(place, detail=True)
            except FileNotFoundError:
                return {}
            prefix = self._files._strip_protocol(place).rstrip("/") + "/"
            names = {
                str(path).removeprefix(prefix): int(info.get("size") or 0)
                for path, info in found.items()
                if str(path) != place
            }
            return {
                name: size
                for name, size in names.items()
                if not name.rpartition("/")[2].startswith(".")
            }

        found: dict[str, int] = self._call("listed", folder, find)
        return found

    def read(self, key: str) -> bytes:
        """Read an object. Raises Missing."""
        return bytes(self._call("read", key, lambda: self._files.cat_file(self._path(key))))

    def read_all(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Read many objects at once, by key. Raises Missing."""
        wanted = list(keys)
        if len(wanted) < 2:
            return {key: self.read(key) for key in wanted}
        paths = [self._path(key) for key in wanted]
        found = self._call("read", wanted[0], lambda: self._files.cat(paths, on_error="raise"))
        return {key: bytes(found[path]) for key, path in zip(wanted, paths, strict=True)}

    def download(self, key: str, path: Path) -> None:
        """Copy an object to a file. Raises Missing."""
        self._call("read", key, lambda: self._files.get_file(self._path(key), str(path)))

    def age(self, key: str) -> float | None:
        """Seconds by the store's clock since an object was written; None if the store has no
        modification times."""
        probe = f".probe-{uuid.uuid4().hex[:8]}"
        self.write(probe, b"")
        try:
            self._files.invalidate_cache()
            then, now = (
                self._call("read", name, partial(self._files.modified, self._path(name)))
                for name in (key, probe)
            )
        except NotImplementedError:
            return None
        finally:
            self.remove([probe])
        if not isinstance(then, datetime.datetime):
            return None
        return float((now - then).total_seconds())

    # ------------------------------------------------------------ writing

    def write(self, key: str, data: bytes) -> None:
        """Write an object atomically, replacing an existing one."""
        self._put(key, lambda path: self._files.pipe_file(path, data))

    def upload(self, path: Path, key: str) -> None:
        """Write a file as an object atomically, replacing an existing one."""
        self._put(key, lambda place: self._files.put_file(str(path), place))

    def _put(self, key: str, put: Callable[[str], Any]) -> None:
        path = self._path(key)
        if self.protocol in ATOMIC:
            self._call("written", key, lambda: put(path))
            return
        folder, _, name = path.rpartition("/")
        fresh = f"{folder}/.{name}.{uuid.uuid4().hex[:8]}"

        def replace() -> None:
            self._files.makedirs(folder, exist_ok=True)
            try:
                put(fresh)
                try:
                    self._files.mv(fresh, path)
                # Some stores do not replace files by a move. If the new file is gone, it was moved
                # and only the response was lost.
                except OSError:
                    if self._is_there(fresh):
                        with contextlib.suppress(FileNotFoundError):
                            self._files.rm_file(path)
                        self._files.mv(fresh, path)
            except BaseException:
                with contextlib.suppress(Exception):
                    self._files.rm_file(fresh)
                raise

        self._call("written", key, replace)

    def _is_there(self, path: str) -> bool:
        self._files.invalidate_cache()
        try:
            self._files.info(path)  # `exists` returns False for every failure
        except FileNotFoundError:
            return False
        return True

    def create(self, key: str, data: bytes) -> bool:
        """Write an object that must not exist yet. Returns whether it was written by this call;
        `data` should be unique to the caller."""
        path = self._path(key)
        if not self._refuses:
            if self._read_or_none(key) is not None:
                return False
            self.write(key, data)
            return True
        try:
            self._call("written", key, lambda: self._files.pipe_file(path, data, mode="create"))
            return True
        except (Denied, Missing):
            raise
        except StoreError:  # refused, or written by an attempt whose response was lost
            found = self._read_or_none(key)
            if found is None:
                raise
            return found == data

    def _read_or_none(self, key: str) -> bytes | None:
        try:
            return self.read(key)
        except Missing:
            return None

    def remove(self, keys: Iterable[str]) -> None:
        """Delete objects; missing ones are ignored."""
        for key in keys:
            with contextlib.suppress(Missing):
                self._call("deleted", key, partial(self._files.rm_file, self._path(key)))

    # ------------------------------------------------------------ before work starts

    @property
    def exclusive(self) -> bool:
        """Whether the server refuses to overwrite in a create; known after `check`."""
        return self._refuses

    def check(self, key: str = "results.root") -> None:
        """Write, read and delete an object, and test whether the store supports exclusive creates.
        Raises BadInput if it cannot be written."""
        failed: list[BaseException] = []

        def attempt() -> None:
            try:
                self._attempt()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        thread.join(CHECK_TIMEOUT)
        if thread.is_alive():
            raise BadInput(
                f"`{key}={self.url}` did not answer within {CHECK_TIMEOUT:g} seconds. Check the"
                " address and the network."
            )
        if not failed:
            return
        error = failed[0]
        if isinstance(error, Missing):
            raise BadInput(
                f"`{key}={self.url}` names a bucket or folder that does not exist"
                f" ({error.__cause__}). Create it first."
            )
        if isinstance(error, Denied):
            raise BadInput(
                f"`{key}={self.url}` may not be written to ({error.__cause__}). Set the credentials"
                " where its fsspec client looks for them."
            )
        if isinstance(error, StoreError):
            raise BadInput(f"`{key}` cannot be reached: {error} Check the address and the network.")
        raise error

    def _attempt(self) -> None:
        probe = f".probe-{uuid.uuid4().hex[:8]}"
        if not self._refuses:
            self.write(probe, b"1")
        elif self.create(probe, b"1") and self.create(probe, b"2"):
            self._refuses = False
        found = self.read(probe)
        self.remove([probe])
        if found not in (b"1", b"2"):
            raise StoreError(f"{self.url} returns other bytes than were written.")

    # ------------------------------------------------------------ calls

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root

    def _call(self, what: str, key: str, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except NotImplementedError:
            raise
        except FileNotFoundError as error:
            raise Missing(f"{self.url}/{key} does not exist.") from error
        except PermissionError as error:
            raise Denied(f"{self.url}/{key} may not be {what}: {_reason(error)}.") from error
        except Exception as error:  # clients raise any exception
            kind = Denied if "Credentials" in type(error).__name__ else StoreError
            raise kind(f"{self.url}/{key} cannot be {what}: {_reason(error)}.") from error


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__


def _options(protocol: str) -> dict[str, Any]:
    """Timeouts shorter than botocore's; those of fsspec's configuration take precedence."""
    if protocol not in ("s3", "s3a"):
        return {}
    own = {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 2}}
    return {
        "config_kwargs": {**own, **fsspec.config.conf.get(protocol, {}).get("config_kwargs", {})}
    }
