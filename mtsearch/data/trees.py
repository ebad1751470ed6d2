"""Files of a folder, a zip or a tar archive, read in place. Nothing is unpacked to disk."""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

from mtsearch.config.errors import BadInput

_SYSTEM_NAMES = {"__macosx", "@eadir", "thumbs.db", "desktop.ini", "$recycle.bin", "lost+found"}


class Tree(ABC):
    """A set of files by their relative POSIX names.

    Attributes:
        path: the folder or archive.
        files: names of its files, sorted, without hidden files and those of operating systems.
        hidden: names of the latter.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        names = sorted(self._list())
        self.files = tuple(name for name in names if not is_hidden(name))
        self.hidden = tuple(name for name in names if is_hidden(name))

    @abstractmethod
    def _list(self) -> Iterable[str]: ...

    @abstractmethod
    def read_many(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Name and content of each of these files, in the order that is fastest to read."""

    def read(self, name: str) -> bytes:
        """The content of one file."""
        return next(iter(self.read_many([name])))[1]


class Folder(Tree):
    """A folder on disk; if `shallow`, only the files directly in it are listed."""

    def __init__(self, path: Path, *, shallow: bool = False) -> None:
        self.shallow = shallow
        super().__init__(path)

    def _list(self) -> Iterable[str]:
        if self.shallow:
            return [entry.name for entry in list_folder(self.path) if not _is_folder(entry)]
        return _walk(self.path, "", (os.path.realpath(self.path),))

    def read_many(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        for name in names:
            yield name, read_file(self.path / name)


def list_folder(path: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder by name. Raises `BadInput` for a folder that cannot be read."""
    try:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise BadInput(
            f"The folder {path} cannot be read ({error.strerror}); change its permissions or"
            " remove it."
        ) from error


def read_file(path: Path) -> bytes:
    """Read a file. Raises `BadInput` if it is not a regular file or cannot be read."""
    check_regular(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(
            f"The file {path} cannot be read ({error.strerror}); change its permissions, replace"
            " or remove it."
        ) from error


def check_regular(path: Path) -> None:
    """Raise `BadInput` unless the path is a regular file or a link to one: reading a FIFO or a
    device would never end."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        link = f"a link to {os.readlink(path)}, " if path.is_symlink() else ""
        raise BadInput(
            f"The file {path} cannot be read ({link}{error.strerror}); replace or remove it."
        ) from error
    if not stat.S_ISREG(mode):
        kind = "a FIFO" if stat.S_ISFIFO(mode) else "no regular file"
        raise BadInput(f"The file {path} is {kind} and cannot be read; replace or remove it.")


def is_hidden(name: str) -> bool:
    """Whether a file is hidden or created by the operating system."""
    parts = name.removeprefix("./").split("/")
    return any(part.startswith(".") or part.lower() in _SYSTEM_NAMES for part in parts)


def _walk(folder: Path, prefix: str, above: tuple[str, ...]) -> Iterator[str]:
    """The files below a folder; ``above`` are the real paths of the folders around them."""
    for entry in list_folder(folder):
        name = prefix + entry.name
        if not _is_folder(entry):
            yield name
        elif not is_hidden(entry.name):
            real = os.path.realpath(entry.path)
            if real in above:
                raise BadInput(
                    f"The link {entry.path} leads to {real}, a folder that contains it; remove the"
                    " link."
                )
            yield from _walk(Path(entry.path), f"{name}/", (*above, real))
        else:
            yield name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, which is refused when it is read
        return False
