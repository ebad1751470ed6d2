"""Files as users have them: in a folder, a zip or a tar, read in place. Nothing is ever unpacked to
disk."""

from __future__ import annotations

import os
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

from mtsearch.config.errors import BadInput

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
)  # the last for encrypted ones
_TAR_ERRORS = (tarfile.TarError, zlib.error, EOFError, OSError)


class Tree(ABC):
    """A set of files by their relative POSIX names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: tuple[str, ...] = tuple(
            sorted(name for name in self._list() if not _hidden(name))
        )

    @abstractmethod
    def _list(self) -> Iterable[str]: ...

    @abstractmethod
    def read_many(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Name and content of each file asked for, in the order that is cheapest to read."""

    def read(self, name: str) -> bytes:
        """The content of one file."""
        return next(iter(self.read_many([name])))[1]


class Folder(Tree):
    """A folder on disk; a shallow one lists only the files directly in it."""

    def __init__(self, path: Path, *, shallow: bool = False) -> None:
        self.shallow = shallow
        super().__init__(path)

    def _list(self) -> Iterable[str]:
        if self.shallow:
            return [entry.name for entry in os.scandir(self.path) if entry.is_file()]
        return [
            (Path(folder) / name).relative_to(self.path).as_posix()
            for folder, _, names in os.walk(self.path, followlinks=True)
            for name in names
        ]

    def read_many(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        for name in names:
            yield name, (self.path / name).read_bytes()


class Zip(Tree):
    """A zip archive."""

    def _list(self) -> Iterable[str]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                return [info.filename for info in archive.infolist() if not info.is_dir()]
        except _ZIP_ERRORS as error:
            raise _broken(self.path, error) from error

    def read_many(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                for name in names:
                    yield name, archive.read(name)
        except _ZIP_ERRORS as error:
            raise _broken(self.path, error) from error


class Tar(Tree):
    """A tar archive, plain or compressed. Read front to back, since a compressed one cannot be read
    backwards."""

    def _list(self) -> Iterable[str]:
        try:
            with tarfile.open(self.path) as archive:
                return [member.name for member in archive if member.isfile()]
        except _TAR_ERRORS as error:
            raise _broken(self.path, error) from error

    def read_many(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        wanted = set(names)
        try:
            with tarfile.open(self.path) as archive:
                for member in archive:
                    if member.name in wanted and member.isfile():
                        wanted.discard(member.name)
                        content = archive.extractfile(member)
                        assert content is not None  # it is a regular file
                        yield member.name, content.read()
                        if not wanted:
                            return
        except _TAR_ERRORS as error:
            raise _broken(self.path, error) from error


def open_tree(path: Path, *, shallow: bool = False) -> Tree:
    """The tree at a path: a folder, or an archive by the ending of its name."""
    if path.is_dir():
        return Folder(path, shallow=shallow)
    return Zip(path) if path.name.lower().endswith(".zip") else Tar(path)


def is_archive(path: Path) -> bool:
    """Whether the name ends like an archive that can be read."""
    return path.name.lower().endswith(ARCHIVES)


def stem(path: Path) -> str:
    """A name without the ending of an archive: `cifar-10-python.tar.gz` -> `cifar-10-python`."""
    for ending in sorted(ARCHIVES, key=len, reverse=True):
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.name


def _hidden(name: str) -> bool:
    return any(
        part.startswith(".") or part == "__MACOSX" for part in name.removeprefix("./").split("/")
    )


def _broken(path: Path, error: Exception) -> BadInput:
    return BadInput(
        f"The archive {path} cannot be read ({' '.join(str(error).split())}); download it again."
    )
