"""Temporary folders that are deleted with their process, or by the next process of the same user
where it was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

_PREFIX, _LOCK = "mtsearch-", ".owner.lock"
_held: dict[Path, int] = {}  # handles of the locks of this process's folders


def temporary_folder(kind: str, parent: Path | None = None) -> Path:
    """Make a private folder ``mtsearch-<kind>-...``, of mode 0700.

    This process holds a lock in it until `remove_temporary` or its end, so that other processes can
    tell whether the folder is in use.

    Args:
        kind: a part of the folder's name.
        parent: where it is made; None takes the system's folder for temporary files.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{kind}-", dir=parent))
    # locked under another name first: a lock file that nobody holds marks an abandoned folder
    fresh = folder / f"{_LOCK}.new"
    handle = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with suppress(OSError):  # file systems without locks; `sweep_temporary` leaves the folder then
        fcntl.flock(handle, fcntl.LOCK_EX)
    os.rename(fresh, folder / _LOCK)
    _held[folder] = handle
    return folder


def remove_temporary(folder: Path) -> None:
    """Delete a folder of `temporary_folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    handle = _held.pop(folder, None)
    if handle is not None:
        os.close(handle)


def sweep_temporary(parent: Path | None = None) -> list[Path]:
    """Delete the temporary folders of this user in `parent` (None: the system's folder for
    temporary files) whose processes have ended. Returns them."""
    swept = []
    for folder in Path(parent or tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            found = folder.lstat()
            own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
            if own and folder not in _held and _abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
                swept.append(folder)
    return swept


def _abandoned(folder: Path) -> bool:
    """Whether no process holds the lock of a folder; never where it has none."""
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
