"""Arrays of features beside a store, which are computed once and read by all processes of a node.

The features of a key are a folder with one file of float32 rows per split and a manifest. The
folder is written under another name and renamed, so that it is complete or absent.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from mtsearch.data.stamps import is_verified, set_verified

Shape = tuple[int, ...]


class Part(NamedTuple):
    """One feature of an image: its shape, and whether its channels are stored last, as in a map
    with torch's channels-last memory format."""

    shape: Shape
    channels_last: bool = False

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)


MANIFEST = "manifest.json"
_WIDTH = np.dtype(np.float32).itemsize


@dataclass(frozen=True)
class FeatureColumn:
    """The features (N, width) of a split, float32, in a memory-mapped file.

    Attributes:
        path: the file.
        name: the split.
        count: N.
        parts: the features of an image, which a row contains one after the other.
        views: augmentations of each image, whose N rows each follow those of the plain images.
    """

    path: Path
    name: str
    count: int
    parts: tuple[Part, ...]
    views: int = 0

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""
        return np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int]:
        """The shape of a row."""
        return (sum(part.size for part in self.parts),)

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """The rows (n, width) with these numbers, in this order."""
        total = (1 + self.views) * self.count
        about = self.path.stat()  # a damaged file may have been replaced
        found = _mapped(self.path, (total, *self.shape), about.st_ino, about.st_mtime_ns)
        return found[np.asarray(rows, np.int64)]


@lru_cache(8)
def _mapped(path: Path, shape: Shape, inode: int, changed: int) -> NDArray[np.float32]:
    if math.prod(shape) == 0:
        return np.empty(shape, np.float32)
    return np.memmap(path, np.float32, "r", shape=shape)


def folder_of(store: Path) -> Path:
    """The folder of all features of a store, beside it."""
    return store.parent / f"{store.name}.features"


def size_of(counts: Mapping[str, int], parts: Sequence[Part]) -> int:
    """Bytes of the features of splits with `counts` images."""
    return sum(counts.values()) * _WIDTH * sum(part.size for part in parts)


def kept_features(
    store: Path,
    key: str,
    counts: Mapping[str, int],
    parts: Sequence[Part],
    compute: Callable[[str], Iterator[NDArray[np.float32]]],
) -> dict[str, FeatureColumn] | None:
    """Return the features of a key, computed by the first process that asks for them; the others
    wait for it.

    Args:
        store: the store of the images.
        key: identifies everything that the features are computed from.
        counts: the images of each split.
        parts: the features of an image.
        compute: a split -> its rows (n, width) in order, block by block.

    Returns:
        The features by split; None if they cannot be written, because the disk is full or the
        folder is read-only.
    """
    folder = folder_of(store) / key
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{key}.lock"):
            if not _is_complete(folder, counts, parts):
                shutil.rmtree(folder, ignore_errors=True)
                free = shutil.disk_usage(folder.parent).free
                if size_of(counts, parts) > free:
                    return None
                _write(folder, counts, parts, compute)
    except OSError:
        return None
    return {
        name: FeatureColumn(folder / f"{name}.bin", name, count, tuple(parts))
        for name, count in counts.items()
    }


def _write(
    folder: Path,
    counts: Mapping[str, int],
    parts: Sequence[Part],
    compute: Callable[[str], Iterator[NDArray[np.float32]]],
) -> None:
    """Write the files of a key. The caller holds its lock."""
    building = folder.parent / f".{folder.name}.building"
    shutil.rmtree(building, ignore_errors=True)  # of a process that was killed
    building.mkdir()
    try:
        hashes = {}
        for name in counts:
            digest = hashlib.sha256()
            with (building / f"{name}.bin").open("wb") as file:
                for block in compute(name):
                    rows = np.ascontiguousarray(block, np.float32).reshape(-1).view(np.uint8)
                    digest.update(rows.data)
                    file.write(rows.data)
                file.flush()
                os.fsync(file.fileno())
            hashes[name] = digest.hexdigest()
        facts = {"counts": dict(counts), "parts": _plain(parts), "sha256": hashes}
        (building / MANIFEST).write_text(json.dumps(facts), encoding="utf-8")
        os.rename(building, folder)
        for name, value in hashes.items():
            set_verified(folder / f"{name}.bin", value)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _plain(parts: Sequence[Part]) -> list[Any]:
    return [[list(part.shape), part.channels_last] for part in parts]


def _is_complete(folder: Path, counts: Mapping[str, int], parts: Sequence[Part]) -> bool:
    """Whether a folder has undamaged features of these shapes. Files are read to their end once per
    node."""
    try:
        facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if facts["counts"] != dict(counts) or facts["parts"] != _plain(parts):
            return False
        for name, count in counts.items():
            file, expected = folder / f"{name}.bin", facts["sha256"][name]
            if file.stat().st_size != size_of({name: count}, parts):
                return False
            if not is_verified(file, expected):
                with file.open("rb") as content:
                    if hashlib.file_digest(content, "sha256").hexdigest() != expected:
                        return False
                set_verified(file, expected)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True
