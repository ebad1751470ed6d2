"""Export folders appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtsearch.config.errors import BadInput

CARD = "card.json"


@contextmanager
def whole_folder(out: Path, marker: str = CARD, what: str = "an earlier export") -> Iterator[Path]:
    """A fresh folder to write into; it takes the place of `out` when the block ends well, and
    is removed when it fails. A folder that contains the file `marker` is replaced.

    Raises:
        BadInput: `out` exists and has no `marker`, or is a folder that cannot be made.
    """
    if (
        out.exists()
        and not (out / marker).is_file()
        and not (out.is_dir() and not any(out.iterdir()))
    ):
        raise BadInput(f"`out={out}` exists and is not {what}; choose another folder or remove it.")
    out = out.resolve()
    fresh = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh.mkdir()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise BadInput(
            f"`out={out}` is not a folder that can be made ({error.strerror}); choose another one."
        ) from None
    try:
        yield fresh
        for path in (*fresh.iterdir(), fresh):
            _sync(path)
        old = out.with_name(f"{fresh.name}.old")
        if out.exists():
            os.rename(out, old)
        os.rename(fresh, out)
        _sync(out.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def fingerprint(path: Path) -> dict[str, int | str]:
    """Size in bytes and SHA-256 of a file."""
    with path.open("rb") as file:
        return {
            "bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
