"""Objects below a URL that fsspec reads and writes, and how a run lives there.

A run whose `results.root` is a URL works in a local folder and is mirrored to the URL, which is
enough to resume, report and export it on another machine. Below ``URL/<space>/<run id>/`` stand

* ``config.yaml``, ``environment.json``: written once;
* ``lease/000001.json``, ...: one object a driver, made by a create that the store refuses when the
  object exists. The newest one names the owner, who overwrites it every few seconds. A driver may
  make the next one once the newest is released, or has not changed for its term by the *store's*
  clock (`mtsearch.runs.lease`); the clocks of the machines are never compared;
* ``events/00000001.jsonl``, ...: immutable numbered segments of ``events.jsonl``, each made by such
  a create as well. A new driver first makes an empty segment as a fence: a driver that lost the
  lease can add nothing after it, however late it continues, and stops (`mtsearch.runs.uploader`).
  So two drivers cannot both write a run even if the lease itself misjudged one of them;
* ``checkpoints/<trial>/<key>-<reports>.zip``: the state of a trial after so many reports, ``key``
  for its configuration; uploaded by the process that trains it, on whatever node
  (`mtsearch.runs.checkpoints`);
* tables, picture and page, replaced when a driver ends.

What is promised. Everything but reports (starts, ends, tests) is uploaded at once, in the
background; reports and the states of unfinished trials at least every `results.upload_every`
seconds. The last state of a trial is uploaded before its end is told. A checkpoint is deleted only
when the events that make it superfluous are in the store. Therefore, if the driver's machine
vanishes, at most the reports of the last `upload_every` seconds are trained again and no finished
trial is: one whose end was still on its way is found finished in its checkpoint. If only the driver
dies, a resume on the same machine also finds what was not uploaded. While the store fails, the run
goes on locally.

S3 and Google Cloud Storage create exclusively, which is tried at the start, not assumed. Elsewhere
a create is "look, write, wait, read again", so that of two drivers that start within the same two
seconds one withdraws; the remaining risk is a driver that slept for longer than its term between
the look and the write of one segment. Where a file system shows half-written files, objects are
written under another name and moved.
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

CREATES = (
    "s3",
    "s3a",
    "gs",
    "gcs",
)  # protocols whose servers may refuse to write an object that exists
ONE_STEP = (
    *CREATES,
    "az",
    "abfs",
    "abfss",
    "adl",
    "oss",
    "oci",
    "obs",
)  # an object is seen whole or not at all
_USUAL = ("s3", "gs", "az", "sftp", "hdfs", "webdav", "smb")
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
ANSWER = 40.0  # seconds in which a store should have answered before work starts
SETTLE = 2.0  # seconds after which a store without exclusive creates shows who wrote last


class StoreError(OSError):
    """A store did not do what it was asked. One sentence."""


class Missing(StoreError):
    """There is no such object, folder or bucket."""


class Denied(StoreError):
    """The credentials do not allow it, or there are none."""


def is_url(place: str | Path) -> bool:
    """Whether results are kept in a store, not in a folder."""
    return "://" in str(place)


def check_url(url: str, key: str = "results.root") -> None:
    """Refuse a URL that nothing can be kept at. Raises BadInput."""
    protocol = url.partition("://")[0]
    if protocol in ("file", "local"):
        raise BadInput(
            f"`{key}` is a folder of this machine written as a URL: {url}. Write the path without"
            f" `{protocol}://`."
        )
    if protocol == "memory":
        raise BadInput(
            f"`{key}={url}` would be gone with its process. Give a folder, or a store such as"
            " s3://bucket/prefix."
        )
    refuse_secrets(url, key)
    if protocol not in fsspec.available_protocols() or "::" in url:
        raise BadInput(
            f"`{key}={url}` has no protocol that fsspec knows. {nearest(protocol, _USUAL)}"
        )


class Store:
    """Objects by their keys below a URL. Every method raises `StoreError` when the store fails."""

    def __init__(self, url: str) -> None:
        """Make the client; nothing is asked of the store yet. Raises BadInput where the client is
        not installed or not configured."""
        self.url = url.rstrip("/")
        self.protocol = self.url.partition("://")[0]
        self._refuses = self.protocol in CREATES
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.url, **_options(self.protocol))
        except ImportError as error:
            extra = EXTRAS.get(self.protocol)
            line = f"pip install 'mtsearch[{extra}]'" if extra else " ".join(str(error).split())
            raise BadInput(
                f"{self.url} needs a client of `{self.protocol}://` that is not installed. Install"
                f" it: {line}"
            ) from None
        except Exception as error:  # clients raise what they like about their settings
            raise BadInput(f"{self.url} cannot be opened: {_reason(error)}.") from error
        self._root = self._root.rstrip("/")

    def below(self, key: str) -> Store:
        """The store at a key of this one."""
        found = Store(f"{self.url}/{key}")
        found._refuses = self._refuses
        return found

    # ------------------------------------------------------------ reading

    def list(self, folder: str) -> dict[str, int]:
        """Sizes in bytes by key below `folder`, which the keys do not repeat; empty where there is
        nothing."""
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
        """An object. Raises Missing."""
        return bytes(self._call("read", key, lambda: self._files.cat_file(self._path(key))))

    def read_all(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Many objects by key, read together."""
        wanted = list(keys)
        if len(wanted) < 2:
            return {key: self.read(key) for key in wanted}
        paths = [self._path(key) for key in wanted]
        found = self._call("read", wanted[0], lambda: self._files.cat(paths, on_error="raise"))
        return {key: bytes(found[path]) for key, path in zip(wanted, paths, strict=True)}

    def download(self, key: str, path: Path) -> None:
        """Write an object to a file. Raises Missing."""
        self._call("read", key, lambda: self._files.get_file(self._path(key), str(path)))

    def age(self, key: str) -> float | None:
        """Seconds by the store's clock since an object was written; None where the store tells no
        times."""
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
        """Write an object, replacing what was there, in one step."""
        self._put(key, lambda path: self._files.pipe_file(path, data))

    def upload(self, path: Path, key: str) -> None:
        """The same from a file."""
        self._put(key, lambda place: self._files.put_file(str(path), place))

    def _put(self, key: str, put: Callable[[str], Any]) -> None:
        path = self._path(key)
        if self.protocol in ONE_STEP:
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
                # some do not move onto what exists; where it has moved, only the answer was lost
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
            self._files.info(path)  # `exists` would take every failure for a no
        except FileNotFoundError:
            return False
        return True

    def create(self, key: str, data: bytes) -> bool:
        """Write an object that must not exist yet. Returns whether it is ours: `data` should be
        told apart from others'."""
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
        except StoreError:  # refused, or written by an attempt whose answer was lost
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
        """Delete objects; no error where there is none."""
        for key in keys:
            with contextlib.suppress(Missing):
                self._call("deleted", key, partial(self._files.rm_file, self._path(key)))

    # ------------------------------------------------------------ before work starts

    @property
    def exclusive(self) -> bool:
        """Whether the server itself refuses to create what exists; known after `check`."""
        return self._refuses

    def check(self, key: str = "results.root") -> None:
        """Write, read and delete an object; try whether the store creates exclusively. Raises
        BadInput where it cannot be written to."""
        failed: list[BaseException] = []

        def attempt() -> None:
            try:
                self._attempt()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        thread.join(ANSWER)
        if thread.is_alive():
            raise BadInput(
                f"`{key}={self.url}` did not answer within {ANSWER:g} seconds. Check the address"
                " and the network."
            )
        if not failed:
            return
        error = failed[0]
        if isinstance(error, Missing):
            raise BadInput(
                f"`{key}={self.url}` names a bucket or folder that does not exist"
                f" ({error.__cause__}). Make it first."
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
            raise StoreError(f"{self.url} gives back other bytes than were written.")

    # ------------------------------------------------------------ calls

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root

    def _call(self, what: str, key: str, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except NotImplementedError:
            raise
        except FileNotFoundError as error:
            raise Missing(f"{self.url}/{key} is not there.") from error
        except PermissionError as error:
            raise Denied(f"{self.url}/{key} may not be {what}: {_reason(error)}.") from error
        except Exception as error:  # clients raise what they like
            kind = Denied if "Credentials" in type(error).__name__ else StoreError
            raise kind(f"{self.url}/{key} cannot be {what}: {_reason(error)}.") from error


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__


def _options(protocol: str) -> dict[str, Any]:
    """Shorter waits than botocore's, unless the user has set some in fsspec's configuration."""
    if protocol not in ("s3", "s3a"):
        return {}
    own = {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 2}}
    return {
        "config_kwargs": {**own, **fsspec.config.conf.get(protocol, {}).get("config_kwargs", {})}
    }
