"""Checkpoints as single files: uncompressed archives of the files of a folder."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
import zipfile
from pathlib import Path

from mtsearch.config.errors import BadInput
from mtsearch.config.files import replacing


def pack(folder: Path, path: Path) -> None:
    """Write the files of a folder as an uncompressed archive, atomically."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)


def unpack(path: Path, folder: Path, name: str) -> None:
    """Replace `folder` by the files of an archive that `pack` wrote.

    Raises BadInput where the archive is damaged or contains what no checkpoint holds: folders,
    other paths than plain file names, compressed files.
    """
    fresh = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    fresh.mkdir()
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path.stat().st_size)
            archive.extractall(fresh)
    except Exception as error:
        shutil.rmtree(fresh, ignore_errors=True)
        # errors of the disk; damage of the archive gives EINVAL in some places
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise BadInput(f"the checkpoint {name} is damaged ({error}).") from None
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(fresh, folder)


def _check_members(archive: zipfile.ZipFile, size: int) -> None:
    """Raises ValueError unless the archive holds plain files that are not larger than itself."""
    members = archive.infolist()
    for member in members:
        name = member.filename
        if Path(name).name != name or name in ("", ".", "..") or "\\" in name:
            raise ValueError(f"it contains {name!r}, which is not a plain file name")
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise ValueError(f"it contains {name!r} compressed")
    if sum(member.file_size for member in members) > size:
        raise ValueError("its files are larger than the archive")
