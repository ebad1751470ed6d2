"""Random access to the files of trees by processes that did not list them."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mtsearch.data.archives import Zip, readable
from mtsearch.data.trees import Folder, Tree, read_file

if TYPE_CHECKING:
    from mtsearch.data.rows import FileSet

Reader = Callable[[Sequence[str]], list[bytes]]
"""Returns the contents of files by name. Readers are pickled."""


@dataclass(frozen=True)
class FolderReader:
    """Reads files of a folder."""

    path: Path

    def __call__(self, names: Sequence[str]) -> list[bytes]:
        return [read_file(self.path / name) for name in names]


@dataclass(frozen=True)
class ZipReader:
    """Reads members of a zip archive, which each process opens once."""

    path: Path

    def __call__(self, names: Sequence[str]) -> list[bytes]:
        with readable(self.path):
            archive = _archive(self.path)
            return [archive.read(name) for name in names]


@dataclass(frozen=True)
class SpoolReader:
    """Reads parts of a file into which members of an archive were copied.

    Attributes:
        path: the file.
        places: start and length of each member.
    """

    path: Path
    places: dict[str, tuple[int, int]]

    def __call__(self, names: Sequence[str]) -> list[bytes]:
        contents = []
        with open(self.path, "rb") as file:
            for name in names:
                start, length = self.places[name]
                file.seek(start)
                contents.append(file.read(length))
        return contents

    def part(self, names: Sequence[str]) -> SpoolReader:
        """The reader of some of the members, which is smaller to pickle."""
        return SpoolReader(self.path, {name: self.places[name] for name in names})


@contextmanager
def reader_of(sets: Sequence[FileSet], scratch: Path | None = None) -> Iterator[list[Reader]]:
    """A reader for each set of files. Files of archives that are read from front to back, such as
    tar archives, are copied to a temporary file in the folder `scratch` first."""
    with ExitStack() as stack:
        readers: list[Reader] = []
        for part in sets:
            tree = part.tree
            if type(tree) is Folder:
                readers.append(FolderReader(tree.path))
            elif type(tree) is Zip:
                readers.append(ZipReader(tree.path))
            else:
                folder = stack.enter_context(tempfile.TemporaryDirectory(dir=scratch))
                names = [name for files in part.files for name in files]
                readers.append(_spool(tree, names, Path(folder) / "files"))
        yield readers


def _spool(tree: Tree, names: Sequence[str], path: Path) -> SpoolReader:
    places = {}
    with open(path, "wb") as file:
        for name, content in tree.read_many(names):
            places[name] = (file.tell(), len(content))
            file.write(content)
    return SpoolReader(path, places)


@lru_cache(maxsize=4)
def _archive(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)
