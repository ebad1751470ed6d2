"""Five-fold splits of a set of images: fold f uses part f of five for testing, part f + 1 (mod 5)
for validation and the other three for training.

Folds are read from `{train,val,test}_fold{0..4}.csv` beside the images if these files exist: rows
of path and label without a header, as published with the study of multi-task optimisation; path
separators may be backslashes. Otherwise they are drawn from a seed, class by class.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.errors import BadInput
from mtsearch.data.archives import is_archive, open_tree, stem
from mtsearch.data.formats import ImageSet, LabelledImages
from mtsearch.data.remarks import remark
from mtsearch.data.sources import ImageSource, read_all
from mtsearch.data.splits import Index, order
from mtsearch.data.tables import read_csv
from mtsearch.data.trees import Tree, list_folder

FOLDS = 5
_SPLITS = ("train", "val", "test")


def read_fold(
    found: LabelledImages,
    source: ImageSource,
    shape: tuple[int, int, int],
    classes: tuple[str, ...],
    fold: int,
    seed: int,
) -> dict[str, ImageSet]:
    """The splits "train", "val" and "test" of one fold, each in an order fixed by ``seed``. Images
    that the CSV files do not list are left out.

    Raises:
        BadInput: the CSV files do not fit the images.
    """
    lists = fold_lists(found, source)
    pool, names = read_all(found, source, shape, classes, lazy=True)
    parts = (
        rotation(pool.labels, fold, source.order_seed)
        if lists is None
        else read_lists(lists, fold, names, pool.labels, classes)
    )
    return {
        name: pool.take(part[order(len(part), seed, number)])
        for number, (name, part) in enumerate(parts.items())
    }


def rotation(labels: NDArray[np.int64], fold: int, seed: int) -> dict[str, Index]:
    """The splits of one fold as indices, class by class: every class is shuffled with the seed and
    cut at fifths of its size, rounded down."""
    parts: list[list[Index]] = [[] for _ in range(FOLDS)]
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        shuffled = members[order(len(members), seed, int(label))]
        for part, share in enumerate(
            np.split(shuffled, [len(members) * cut // FOLDS for cut in range(1, FOLDS)])
        ):
            parts[part].append(share)
    test, val = fold % FOLDS, (fold + 1) % FOLDS
    rest = [share for part in range(FOLDS) if part not in (test, val) for share in parts[part]]
    return {
        "train": np.concatenate(rest),
        "val": np.concatenate(parts[val]),
        "test": np.concatenate(parts[test]),
    }


def fold_lists(found: LabelledImages, source: ImageSource) -> Tree | None:
    """The tree with the CSV files of the folds: that of the images, or a folder or archive
    `<name>_folds` beside it; None when there is none."""
    return next((tree for tree in _places(found, source) if list_files(tree)), None)


def list_files(tree: Tree) -> list[str]:
    """The CSV files of folds in a tree."""
    return [file for file in tree.files if _is_list(file)]


def _places(found: LabelledImages, source: ImageSource) -> Iterator[Tree]:
    yield found.tree
    wanted = {f"{name.lower()}_folds" for name in source.names}
    for path in (Path(entry.path) for entry in list_folder(found.tree.path.parent)):
        if stem(path).lower() in wanted and (path.is_dir() or is_archive(path)):
            yield open_tree(path)


def _is_list(file: str, split: str = "", fold: int | None = None) -> bool:
    name = PurePosixPath(file).name
    return name in [
        f"{s}_fold{f}.csv"
        for s in _SPLITS
        for f in range(FOLDS)
        if s.startswith(split) and fold in (None, f)
    ]


def read_lists(
    tree: Tree,
    fold: int,
    names: tuple[str, ...],
    labels: NDArray[np.int64],
    classes: tuple[str, ...] = (),
) -> dict[str, Index]:
    """The splits of one fold as indices of the images with these names (`<class>/<file name without
    ending>`) and labels, in the order of the files' rows."""
    places = {name.lower(): place for place, name in enumerate(names)}
    seen: dict[int, str] = {}
    parts = {}
    for split in _SPLITS:
        file = next((file for file in tree.files if _is_list(file, split, fold)), None)
        if file is None:
            raise BadInput(
                f"The folds in {tree.path} lack {split}_fold{fold}.csv; add it, or leave"
                " `data.fold` out."
            )
        part = []
        for number, (path, label) in enumerate(_rows(tree, file), 1):
            where = f"Row {number} of {file} in {tree.path}"
            place = places.get(path)
            if place is None:
                raise BadInput(
                    f"{where} names the image {path}, which is not among the {len(names):,} images"
                    " found; complete the images."
                )
            if label != labels[place]:
                name = classes[labels[place]] if classes else path.rpartition("/")[0]
                raise BadInput(
                    f"{where} should give {name} the label {labels[place]}, as the data card does."
                    f" Found {label}."
                )
            if place in seen:
                raise BadInput(
                    f"{where} names the image {path} again, after {seen[place]}; folds should name"
                    " it once."
                )
            seen[place] = file
            part.append(place)
        parts[split] = np.array(part, np.int64)
    if unlisted := [name for place, name in enumerate(names) if place not in seen]:
        what = f"images that the lists of fold {fold} do not name were left out"
        remark(what, unlisted[0], len(unlisted))
    return parts


def _rows(tree: Tree, file: str) -> Iterator[tuple[str, int]]:
    for row in read_csv(tree.read(file), f"{file} in {tree.path}"):
        if not row:
            continue
        path = PurePosixPath(row[0].strip().replace("\\", "/"))
        try:
            _, label = row
            yield f"{path.parent.name}/{path.stem}".lower(), int(label)
        except ValueError:
            raise BadInput(
                f"The rows of {file} in {tree.path} should be path,label. Found {','.join(row)}."
            ) from None
