"""Which files of stores were found undamaged on this node, so that each is read to the end once."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

_NAME = "mtsearch-verified-{user}"


def is_verified(file: Path, checksum: str) -> bool:
    """Whether `file` had this checksum when it was last read to the end, and is the same file of
    the same size and times since."""
    stamp = _stamp(file, checksum)
    return stamp is not None and stamp.exists()


def set_verified(file: Path, checksum: str) -> None:
    """Record that `file` has this checksum. Without a folder that only this user can write to,
    nothing is recorded."""
    stamp = _stamp(file, checksum)
    if stamp is not None:
        try:
            stamp.touch()
        except OSError:  # a full disk, or no permission: the file is read again next time
            return


def _stamp(file: Path, checksum: str) -> Path | None:
    folder = Path(tempfile.gettempdir()) / _NAME.format(user=os.getuid())
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        owner, about = folder.lstat(), file.stat()
    except OSError:
        return None
    if owner.st_uid != os.getuid() or owner.st_mode & 0o022 or folder.is_symlink():
        return None
    facts = (
        about.st_dev,
        about.st_ino,
        about.st_size,
        about.st_mtime_ns,
        about.st_ctime_ns,
        checksum,
    )
    return folder / hashlib.sha256(repr(facts).encode()).hexdigest()
