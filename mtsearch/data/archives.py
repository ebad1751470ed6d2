"""Zip and tar archives, whose headers are checked before any content is read.

Archives are refused when a member's name points outside the archive, when a member is a link, a
device, encrypted or a duplicate, and when they expand beyond the limits below.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mtsearch.config.errors import BadInput
from mtsearch.data.trees import Folder, Tree, check_regular, is_hidden

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
MAX_MEMBERS = 5_000_000
MAX_MEMBER_BYTES = 4 << 30
# The limit on expanded / compressed bytes, for archives that expand to more than the size below.
MAX_RATIO = 200
RATIO_APPLIES_ABOVE = 1 << 30
_ERRORS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
    ValueError,
    OverflowError,
)


class Zip(Tree):
    """A zip archive."""

    def _list(self) -> Iterable[str]:
        with readable(self.path), zipfile.ZipFile(self.path) as archive:
            infos = archive.infolist()
            _check_names(self.path, [info.filename for info in infos])
            for info in infos:
                if info.flag_bits & 1:
                    raise _refused(self.path, info.filename, "is encrypted", "decrypt the archive")
                kind = stat.S_IFMT(info.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR) and not is_hidden(info.filename):
                    raise _refused(self.path, info.filename, "is a link or device")
            _check_sizes(self.path, [(info.filename, info.file_size) for info in infos])
            return [info.filename for info in infos if not info.is_dir()]

    def read_many(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        with zipfile.ZipFile(self.path) as archive:
            for name in names:
                with readable(self.path):
                    content = archive.read(name)
                yield name, content


class Tar(Tree):
    """A tar archive, plain or compressed, read from front to back."""

    def _list(self) -> Iterable[str]:
        with readable(self.path), _open_tar(self.path) as archive:
            names: list[str] = []
            files: list[str] = []
            for member in archive:
                if not (member.isfile() or member.isdir()) and not is_hidden(member.name):
                    raise _refused(self.path, member.name, "is a link or device")
                names.append(member.name)
                if member.isfile():
                    files.append(member.name)
                if len(names) > MAX_MEMBERS:
                    break
                _check_sizes(self.path, [(member.name, member.size)], archive.offset)
            _check_names(self.path, names)
            # tarfile takes a damaged header for the end of the archive, which is a block of zeros.
            assert archive.fileobj is not None
            archive.fileobj.seek(archive.offset)
            block = archive.fileobj.read(512)
            if len(block) < 512 or any(block):
                raise tarfile.ReadError("it is truncated or has a damaged header")
            # Reading to the end verifies the checksum of compressed archives.
            while archive.fileobj.read(1 << 20):
                pass
            return files

    def read_many(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        wanted = set(names)
        with readable(self.path):
            archive = _open_tar(self.path)
        with archive:
            while wanted:
                with readable(self.path):
                    member = archive.next()
                    if member is None:
                        return
                    content = archive.extractfile(member) if member.isfile() else None
                    if content is None or member.name not in wanted:
                        continue
                    wanted.discard(member.name)
                    data = content.read()
                yield member.name, data


def open_tree(path: Path, *, shallow: bool = False) -> Tree:
    """Open a folder, or an archive by the ending of its name, as a tree.

    Raises:
        BadInput: the archive cannot be read or is refused.
    """
    if path.is_dir():
        return Folder(path, shallow=shallow)
    check_regular(path)
    return Zip(path) if path.name.lower().endswith(".zip") else Tar(path)


def is_archive(path: Path) -> bool:
    """Whether the name ends like that of an archive that can be read."""
    return path.name.lower().endswith(ARCHIVES)


def stem(path: Path) -> str:
    """A name without the ending of an archive: `cifar-10-python.tar.gz` -> `cifar-10-python`."""
    for ending in sorted(ARCHIVES, key=len, reverse=True):
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.name


class _Bounded:
    """A decompressed stream that raises when it passes the limits: a header may claim any size, and
    tarfile would read that many bytes into memory."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path = stream, path

    def read(self, size: int = -1) -> bytes:
        if size > MAX_MEMBER_BYTES:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        content = self._stream.read(size)
        _check_total(self._path, self._stream.tell())
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 0:
            _check_total(self._path, offset)
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        self._stream.close()


def _open_tar(path: Path) -> tarfile.TarFile:
    with open(path, "rb") as file:
        start = file.read(6)
    openers: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
    opener = next((how for magic, how in openers.items() if start.startswith(magic)), None)
    if opener is None:
        return tarfile.open(path, "r:")
    return tarfile.open(fileobj=_Bounded(opener(path), path), mode="r:")  # type: ignore[call-overload,no-any-return]


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn errors of damaged archives into `BadInput`."""
    try:
        yield
    except BadInput:
        raise
    except _ERRORS as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"The archive {path} cannot be read ({why}); download it again.") from error


def _check_names(path: Path, names: list[str]) -> None:
    if len(names) > MAX_MEMBERS:
        raise BadInput(
            f"The archive {path} should have at most {MAX_MEMBERS:,} members. Found more; unpack it"
            " yourself if you trust it."
        )
    seen: set[str] = set()
    for name in names:
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or parts[0].endswith(":"):
            raise _refused(path, name, "points outside the archive")
        plain = "/".join(part for part in parts if part not in ("", "."))
        if plain in seen and plain and not is_hidden(plain) and not name.endswith("/"):
            raise _refused(path, name, "occurs twice", "keep one of the two")
        seen.add(plain)


def _check_sizes(path: Path, sizes: list[tuple[str, int]], total: int | None = None) -> None:
    for name, size in sizes:
        if size > MAX_MEMBER_BYTES:
            raise _refused(path, name, f"expands to {size:,} bytes, more than {MAX_MEMBER_BYTES:,}")
    _check_total(path, sum(size for _, size in sizes) if total is None else total)


def _check_total(path: Path, total: int) -> None:
    compressed = path.stat().st_size
    if total > max(RATIO_APPLIES_ABOVE, MAX_RATIO * compressed):
        raise BadInput(
            f"The archive {path} expands from {compressed:,} to more than {total:,} bytes, over"
            f" {MAX_RATIO} times its size; unpack it yourself if you trust it."
        )


def _refused(path: Path, name: str, why: str, what: str = "unpack it yourself") -> BadInput:
    return BadInput(f"The archive {path} is refused: its member {name!r} {why}; {what}.")
