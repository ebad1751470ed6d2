"""Drafts of data cards: the columns of a table or the class folders of a set of images, and what
they are taken for."""

from __future__ import annotations

import math
import posixpath
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtsearch.config.errors import BadInput
from mtsearch.data.archives import is_archive, open_tree, stem
from mtsearch.data.array_inputs import number_in
from mtsearch.data.decoding import is_image, open_image
from mtsearch.data.drafting_files import file_task
from mtsearch.data.formats import find_images
from mtsearch.data.formats.class_folders import ClassFolders
from mtsearch.data.tables import read_table, split_tags
from mtsearch.data.trees import Tree

SPLIT_COLUMNS = ("split", "set", "subset", "partition")
SPLIT_WORDS = ("train", "val", "valid", "validation", "test")
MAX_CLASSES = 1000
FEW_NUMBERS = 10  # whole numbers with at most as many values are classes
LOOKED_AT = 32  # images whose size and mode are read
SIDE = 64  # pixels of images that are larger
TAKEN = {"mean", "worst", "spread", "min", "max"}
"""Names that no task may have."""


@dataclass
class Draft:
    """A data card as a tree, the number of images, and sentences about what was found."""

    card: dict[str, Any]
    images: int
    notes: list[str] = field(default_factory=list)
    shape: tuple[int, int, int] | None = None  # of arrays, which the card does not state


def draft_card(path: Path, tasks: Sequence[str] = ()) -> Draft:
    """Draft the card of a table, a folder or an archive.

    Args:
        path: a CSV or Parquet file, or a folder or an archive with images, and with a CSV if they
            are not in folders of classes, or a folder with a single CSV.
        tasks: the columns of the labels of a table without images; see `draft_vectors`.

    Raises:
        BadInput: there is nothing that a card can describe.
    """
    from mtsearch.data.drafting_tables import draft_vectors  # which imports this module

    path = path.expanduser().resolve()
    if not path.exists():
        raise BadInput(f"There is no {path}; give a table, a folder or an archive of images.")
    if path.suffix.lower() == ".parquet":
        return draft_vectors(path, tasks)
    if path.is_file() and not is_archive(path):
        return _of_table(open_tree(path.parent), path.name, tasks)
    tree = open_tree(path)
    tables = [name for name in tree.files if name.lower().endswith(".csv")]
    if len(tables) == 1:
        return _of_table(tree, tables[0], tasks)
    found = find_images(tree)
    if isinstance(found, ClassFolders):
        return _of_folders(tree, found)
    if tables:
        raise BadInput(f"{path} contains {len(tables)} tables; give the path of one of them.")
    raise BadInput(
        f"{path} has neither a CSV nor images in folders of classes; add a CSV with a row per image"
        " and a column per task."
    )


def _of_folders(tree: Tree, found: ClassFolders) -> Draft:
    classes = sorted({label for files in found._files.values() for label, _ in files})
    images: dict[str, Any] = {"names": [stem(tree.path)], "resize": "bilinear"}
    if "test" not in found.splits:
        images["test_fraction"] = 0.2
    source = {"kind": "classification", "images": images}
    draft = Draft(_card(tree, source, [{"name": "label", "classes": classes}]), len(found.files))
    draft.notes.append(f"label: classification, {len(classes)} classes, from the folders' names")
    draft.card["shape"] = _shape(tree, found.files, draft.notes)
    return draft


def _of_table(tree: Tree, file: str, tasks: Sequence[str]) -> Draft:
    where = f"{file} in {tree.path}"
    rows = list(read_table(tree.read(file), where).values())
    notes: list[str] = []
    columns = {name: [row[name] for row in rows] for name in rows[0] if name}
    folder = posixpath.dirname(file)
    pictures = _picture_column(columns, tree, folder)
    if pictures is None:
        named = [
            name for name, cells in columns.items() if 2 * sum(map(is_image, cells)) > len(rows)
        ]
        if named or is_archive(tree.path):
            absent = f" `{named[0]}` names files that are not there." if named else ""
            raise BadInput(
                f"No column of {where} names image files of that folder; add one, relative to the"
                f" CSV, or unpack a table without images.{absent}"
            )
        from mtsearch.data.drafting_tables import draft_vectors  # which imports this module

        return draft_vectors(tree.path / file, tasks)
    if tasks:
        raise BadInput("`tasks` goes with tables without images. Edit the card instead.")
    column, files = pictures
    notes.append(f"{column}: the image files, {len(files):,}")
    del columns[column]
    images: dict[str, Any] = {"names": [stem(tree.path)], "resize": "bilinear"}
    source = {"kind": "table", "images": images, "file": file, "path": column}
    split = split_column(columns)
    if split is not None:
        notes.append(f"{split}: the splits")
        source["split"] = split
    if split is None or "test" not in map(str.lower, columns[split]):
        images["test_fraction"] = 0.2
    columns.pop(str(split), None)
    found = [
        task
        for name, cells in columns.items()
        if (task := file_task(_named(name), name, cells, tree, folder, notes))
        or (task := task_of(name, cells, notes))
    ]
    if not found:
        raise BadInput(
            f"No column of {where} can be a task; add one with classes or numbers."
            f" Found: {'; '.join(notes)}."
        )
    draft = Draft(_card(tree, source, found), len(files), notes)
    draft.card["shape"] = _shape(tree, files, notes)
    return draft


def _card(tree: Tree, source: dict[str, Any], tasks: list[dict[str, Any]]) -> dict[str, Any]:
    name = re.sub(r"[^\w.-]+", "_", stem(tree.path)).strip("_.-") or "data"
    return {"name": name, "root": str(tree.path.parent), "source": source, "tasks": tasks}


def _picture_column(
    columns: dict[str, list[str]], tree: Tree, folder: str
) -> tuple[str, list[str]] | None:
    """The column of which most cells are image files of the tree, and these files."""
    known = {posixpath.normpath(name) for name in tree.files if is_image(name)}
    best: tuple[str, list[str]] | None = None
    for name, cells in columns.items():
        paths = [posixpath.normpath(posixpath.join(folder, c.replace("\\", "/"))) for c in cells]
        files = [path for path in paths if path in known]
        if 2 * len(files) > len(cells) and (best is None or len(files) > len(best[1])):
            best = name, files
    return best


def split_column(columns: dict[str, list[str]]) -> str | None:
    """The column of a table that names the splits."""
    for name, cells in columns.items():
        if name.lower() in SPLIT_COLUMNS and {cell.lower() for cell in cells} <= {*SPLIT_WORDS}:
            return name
    return None


def task_of(column: str, cells: list[str], notes: list[str]) -> dict[str, Any] | None:
    """The task of a column, or None with a note about the reason."""
    filled = [cell for cell in cells if cell]
    values = set(filled)
    missing = f", {100 * (1 - len(filled) / len(cells)):.0f} % missing"
    missing = missing if len(filled) < len(cells) else ""
    task = _named(column)
    if len(values) < 2:
        notes.append(f"{column}: left out, because all its cells are equal")
        return None
    numbers = [number_in(cell) for cell in filled]
    if all(number is not None and math.isfinite(number) for number in numbers):
        whole = all(cell.isdecimal() for cell in values)
        if not whole or len(values) > FEW_NUMBERS or len(filled) < 2 * len(values):
            notes.append(f"{column}: regression{missing}")
            return {**task, "kind": "regression"}
        classes = sorted(values, key=int)
        notes.append(
            f"{column}: classification, {len(classes)} numbers as classes{missing}; write"
            " `kind: regression` without `classes` if they are quantities"
        )
        return {**task, "classes": classes}
    tags = sorted({tag for cell in values for tag in split_tags(cell)})
    if any(len(split_tags(cell)) > 1 for cell in values) and 1 < len(tags) <= MAX_CLASSES:
        notes.append(
            f"{column}: multilabel, {len(tags)} tags{missing}; an empty cell is a missing label,"
            " `-` is no tag"
        )
        return {**task, "kind": "multilabel", "classes": tags}
    if len(values) > MAX_CLASSES or len(filled) < 2 * len(values):
        notes.append(f"{column}: left out, because it has {len(values):,} different texts")
        return None
    notes.append(f"{column}: classification, {len(values)} classes{missing}")
    return {**task, "classes": sorted(values)}


def _named(column: str) -> dict[str, Any]:
    """The name of a column's task, and the column where it differs from the name."""
    name = re.sub(r"\W+", "_", column).strip("_") or "task"
    if name[0].isdigit() or name in TAKEN or _is_attribute(name):
        name = f"task_{name}"
    return {"name": name} if name == column else {"name": name, "column": column}


def _is_attribute(name: str) -> bool:
    """Whether a module of torch has an attribute of this name, which then cannot name a part."""
    from torch import nn

    return hasattr(nn.ModuleDict(), name)


def _shape(tree: Tree, files: list[str], notes: list[str]) -> list[int]:
    """The shape of the images: their own size if it is common to all and small, else a square."""
    step = max(1, len(files) // LOOKED_AT)
    sizes, modes = list[tuple[int, int]](), set[str]()
    for name, content in tree.read_many(files[::step][:LOOKED_AT]):
        try:
            picture = open_image(content, name).image
        except BadInput as error:
            notes.append(f"unreadable: {error}")
            continue
        sizes.append((picture.height, picture.width))
        modes.add(picture.mode)
    if not sizes:
        raise BadInput(f"None of the images of {tree.path} that were looked at can be read.")
    channels = 1 if modes <= {"1", "L", "LA", "I;16"} else 3
    height, width = sizes[0]
    if len(set(sizes)) > 1 or max(height, width) > SIDE or min(height, width) < 10:
        side = int(statistics.median(max(size) for size in sizes))
        height = width = max(10, min(SIDE, side))
        notes.append(f"images are scaled to {width} x {height} pixels; `data.size` changes it")
    return [channels, int(height), int(width)]
