"""Inventories of source files: a prepared dataset records the names and sizes of the files that it
was built from, to detect later changes below the data root."""

from __future__ import annotations

import hashlib
import posixpath
import zipfile
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any

from mtsearch.config.errors import BadInput
from mtsearch.data import store
from mtsearch.data.archives import Tar, Zip
from mtsearch.data.builders import DatasetBuilder, read_source
from mtsearch.data.folds import fold_lists, list_files
from mtsearch.data.formats import LabelledImages
from mtsearch.data.sources import locate
from mtsearch.data.trees import Tree
from mtsearch.data.types import Resolved


def inventories(
    builder: DatasetBuilder, name: str, images: LabelledImages, fold: int | None
) -> list[dict[str, Any]]:
    """The inventories of the image set in a builder's field and, if a fold is requested, of the
    fold lists beside it.

    Other files in the same place, such as notes, runs and stores, are not included.
    """
    return [inventory(tree, names) for tree, names in files_read(builder, name, images, fold)]


def inventory(tree: Tree, names: Iterable[str]) -> dict[str, Any]:
    """The number of files, their total bytes, and a SHA-256 of their names and sizes, which is the
    same for equal copies in a folder or a zip file. A tar archive counts as a single file, because
    listing it would require reading it to the end."""
    found = {posixpath.normpath(name): size for name, size in sizes(tree, names)}
    # Archives often have a single top-level folder.
    shared = posixpath.commonpath([posixpath.dirname(name) for name in found]) if found else ""
    lines = "".join(
        f"{size} {name[len(shared) :].lstrip('/')}\n" for name, size in sorted(found.items())
    )
    # File names need not be valid text.
    digest = hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()
    return {
        "count": len(found),
        "bytes": sum(found.values()),
        "sha256": digest,
        **({"tar": True} if isinstance(tree, Tar) else {}),
    }


def check_sources(found: Resolved, *, resuming: bool = False) -> None:
    """Compare a prepared dataset with the image sets that are found below its root now.

    A set is not compared if it is missing, if the store has no inventory of it, or if only one of
    the two is a tar archive.

    Args:
        found: the dataset.
        resuming: whether a run is being continued, which could not use a new store.

    Raises:
        BadInput: a set has other files than those that the store was built from.
    """
    if found.checksum is None or found.card.embedded or not found.root.is_dir():
        return
    manifest = store.read_manifest(found.store)
    for name, source in manifest["sources"].items():
        fold = manifest["recipe"].get("fold")
        if "made_of" in source and (
            fold is not None or not _same_tar(found.root / source["place"], source["made_of"][0])
        ):
            _check(found, name, source, fold, resuming)


def _check(
    found: Resolved, name: str, source: dict[str, Any], fold: int | None, resuming: bool
) -> None:
    builder = read_source(found.card)
    images = locate(found.root, builder.sources()[name])
    if images is None:
        return
    parts = files_read(builder, name, images, fold)
    for then, part in zip_longest(source["made_of"], parts):
        tree, now = (part[0], inventory(*part)) if part else (images.tree, None)
        if then and now and (then == now or then.get("tar") != now.get("tar")):
            continue
        before, after = (found["count"] if found else 0 for found in (then, now))
        counts = (
            f"{after:,} then and now, of other names or sizes"
            if before == after
            else f"{before:,} then, {after:,} now"
        )
        what = "files" if tree is images.tree and part else "lists of folds"
        other = f"or delete the folder {found.store} to prepare the dataset again"
        raise BadInput(
            f"The {what} of {source['title']} in {tree.path} are not those that its store was built"
            f" from ({counts}). Put them back,"
            f" {'as a run continues only with its original data' if resuming else other}."
        )


def files_read(
    builder: DatasetBuilder, name: str, images: LabelledImages, fold: int | None
) -> list[tuple[Tree, set[str]]]:
    """The files that are read for the set in field `name`, by the tree that contains them."""
    source, own = builder.sources()[name], {*images.files, *builder.beside(name, images)}
    lists = fold_lists(images, source) if source.folds and fold is not None else None
    if lists is None:
        return [(images.tree, own)]
    if lists.path == images.tree.path:
        return [(images.tree, own | set(list_files(lists)))]
    return [(images.tree, own), (lists, set(list_files(lists)))]


def sizes(tree: Tree, names: Iterable[str]) -> list[tuple[str, int]]:
    """Name and bytes of each of these files; of a tar archive, its own size."""
    if isinstance(tree, Tar):
        return [("tar", tree.path.stat().st_size)]
    if isinstance(tree, Zip):
        with zipfile.ZipFile(tree.path) as archive:
            return [(name, archive.getinfo(name).file_size) for name in names]
    return [(name, size) for name in names if (size := _size(tree.path / name)) is not None]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:  # a broken link, or a file removed since the folder was listed
        return None


def _same_tar(path: Path, then: dict[str, Any]) -> bool:
    """Whether the set is a tar archive, which is not listed because that reads it to the end."""
    return "tar" in then and path.is_file() and path.stat().st_size == then["bytes"]
