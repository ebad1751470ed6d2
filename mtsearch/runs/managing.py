"""Runs as a whole: whether one is driven, stopping its driver, deleting and archiving it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from mtsearch.config.errors import BadInput
from mtsearch.config.files import replacing
from mtsearch.runs.storage import CONFIG, EVENTS, check_links

LOCK, HOLDER = ".driver.lock", ".driver.holder"


def is_run(path: Path) -> bool:
    """Whether a folder, and not a link to one, has the files of a run."""
    return not path.is_symlink() and all((path / name).is_file() for name in (CONFIG, EVENTS))


def is_driven(path: Path) -> bool:
    """Whether a process drives the run in a folder."""
    if not (path / HOLDER).is_file():
        return False
    try:
        with filelock.FileLock(str(path / LOCK), timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:  # a folder that cannot be written to
        return False


def disk(path: Path) -> int:
    """Bytes of the files in a folder; links are not followed."""
    return sum(
        Path(place, name).lstat().st_size for place, _, files in os.walk(path) for name in files
    )


def stop_driver(path: Path) -> int:
    """Send SIGINT to the process that drives a run, once it is certain that it does: it has the
    lock file of the run open.

    Returns:
        The number of the process.

    Raises:
        BadInput: nothing drives the run, or its driver is on another machine or of another user.
    """
    if not is_driven(path):
        raise BadInput(f"nothing drives the run {path}. There is nothing to stop.")
    try:
        holder = (path / HOLDER).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        holder = ""
    match = re.fullmatch(r"process ([1-9]\d{0,9}) on (.+)", holder)
    if match is None or match[2] != socket.gethostname():
        raise BadInput(
            f"the run {path} is driven by {holder or 'another process'}, not on this machine. Run"
            " this command there, or send SIGINT to that process."
        )
    process = int(match[1])
    try:
        # the descriptor stays bound to this process even if its number is used again
        descriptor = os.pidfd_open(process)
        try:
            if not _has_open(process, path / LOCK):
                raise BadInput(
                    f"process {process} does not have the lock of the run {path} open, so it is not"
                    " its driver. Nothing was stopped."
                )
            signal.pidfd_send_signal(descriptor, signal.SIGINT)
        finally:
            os.close(descriptor)
    except (OSError, AttributeError) as error:  # AttributeError: not Linux
        raise BadInput(
            f"{holder}, the driver of the run {path}, cannot be stopped from here ({error}). Send"
            " it SIGINT yourself."
        ) from None
    return process


def _has_open(process: int, path: Path) -> bool:
    wanted = path.stat()
    for entry in os.scandir(f"/proc/{process}/fd"):
        try:
            found = os.stat(entry.path)
        except OSError:  # closed meanwhile
            continue
        if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            return True
    return False


@contextmanager
def owned(path: Path) -> Iterator[None]:
    """Own a run while it is removed, so that no driver starts.

    Raises:
        BadInput: the folder is not a run, is or contains a link, or the run is driven.
    """
    if not is_run(path):
        raise BadInput(
            f"{path} is not a run directory, or is a link to one. `mtsearch runs list` names runs."
        )
    check_links(path)
    lock = filelock.FileLock(str(path / LOCK))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise BadInput(
            f"the run {path} is being driven. Stop it first with `mtsearch runs stop run={path}`."
        ) from None
    try:
        yield
    finally:
        lock.release()


def delete(path: Path) -> None:
    """Delete a run: first its name, then its files. Raises BadInput as `owned`, and OSError."""
    with owned(path):
        _remove(path)


def archive(path: Path, to: Path) -> None:
    """Write a run as a tar file, read that back, and delete the run.

    Args:
        path: of the run.
        to: the file to write, which must not exist.

    Raises:
        BadInput: as `owned`, or `to` exists or lies inside the run.
        OSError: the archive could not be written or read back; the run is unchanged.
    """
    if to.exists() or to.is_symlink():
        raise BadInput(f"`to={to}` exists. Give another file.")
    if to.resolve().is_relative_to(path.resolve()):
        raise BadInput(f"`to={to}` lies inside the run, which is deleted. Give another file.")
    with owned(path):
        files = {
            f"{path.name}/{file.relative_to(path).as_posix()}": file
            for file in sorted(path.rglob("*"))
            if file.name not in (LOCK, HOLDER)
        }
        with replacing(to) as temporary:
            with tarfile.open(temporary, "w") as tar:
                for name, file in files.items():
                    tar.add(file, name, recursive=False)
            with tarfile.open(temporary) as tar:
                for name, file in files.items():
                    _check_member(tar, name, file)
        _remove(path)


def _check_member(tar: tarfile.TarFile, name: str, file: Path) -> None:
    """Raises OSError where a member is not the file."""
    if not file.is_file() or file.is_symlink():
        return
    member = tar.extractfile(name)
    with file.open("rb") as original:
        while True:
            expected = original.read(2**20)
            if member is None or member.read(2**20) != expected:
                raise OSError(f"{name} differs in the archive")
            if not expected:
                return


def _remove(path: Path) -> None:
    hidden = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.deleted")
    os.rename(path, hidden)
    shutil.rmtree(hidden)
