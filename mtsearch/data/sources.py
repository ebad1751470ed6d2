"""Where a set of images lies below a data root, and reading its two official sides."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from mtsearch.config.base import Model
from mtsearch.config.errors import BadInput
from mtsearch.data.archives import is_archive, open_tree, stem
from mtsearch.data.formats import ImageSet, LabelledImages, Request, find_images
from mtsearch.data.formats.misfit import explain_misfit
from mtsearch.data.formats.unsorted_files import UnsortedFiles
from mtsearch.data.splits import order, split_indices
from mtsearch.data.trees import list_folder

_COMMON = "raw"  # the name of a folder in every set of torchvision's that is made of IDX files


class ImageSource(Model):
    """One set of images as a card's `source` describes it.

    ``names``: folders or archives (without their ending, in any case) that hold it, directly in the
    root or in one another. `raw`, which many sets call a folder of theirs, counts beside other
    names only inside a folder with one of them. ``lossless``: the original is lossless, so that
    JPEG files of it are said to be such in the dataset's label. ``order_seed``: fixes the order,
    and the test side if there is none, when the files have lost the official order.
    ``test_fraction``: the share of images to test on when the files make no test side.
    ``original_classes``: the classes of the files by number, when the card's task names only some
    of them: images of others are left out. ``per_class``: keep the first so many images of each
    class, on each official side. ``folds``: the set is divided into five folds, by CSV files beside
    the images or else by ``order_seed``; see `mtsearch.data.folds`.
    """

    title: str
    names: tuple[str, ...] = Field(min_length=1)
    shape: tuple[int, int, int] | None = None
    lossless: bool = False
    order_seed: int = Field(0, ge=0)
    test_fraction: float | None = Field(None, gt=0, lt=1)
    resize: Literal["nearest", "bilinear", "bicubic", "lanczos", "box"] | None = None
    group: str | None = None
    original_classes: tuple[str, ...] = ()
    per_class: int | None = Field(None, gt=0)
    folds: bool = False

    @model_validator(mode="after")
    def _folds_are_of_all_images(self) -> ImageSource:
        if self.folds and (self.original_classes or self.per_class):
            raise ValueError(
                "`folds` divide all images of a set, so they go neither with `original_classes` nor"
                " with `per_class`"
            )
        return self


def locate(root: Path, source: ImageSource) -> LabelledImages | None:
    """The images of a source below a root, by names of files alone; None when they are not there.
    Those of any other format come before unsorted ones, as a folder around a set may hold a list
    and a picture of its own."""
    unsorted: LabelledImages | None = None
    for path, shallow in _candidates(root, {name.lower() for name in source.names}):
        found = find_images(open_tree(path, shallow=shallow))
        if found is not None and not isinstance(found, UnsortedFiles):
            return found
        unsorted = unsorted or found
    return unsorted


def misfit(root: Path, source: ImageSource) -> str:
    """Why what lies below the root under one of the source's names is not the source's images: a
    clause with the path, empty where there is no such folder or archive."""
    for path, shallow in _candidates(root, {name.lower() for name in source.names}):
        if not shallow:
            return f"{path} {explain_misfit(open_tree(path))}"
    return ""


def unclaimed(root: Path, source: ImageSource) -> Path | None:
    """The folder `raw` that is the root or lies in it and does not count, because the folder around
    it has another name."""
    names = {name.lower() for name in source.names}
    return next(
        (
            path
            for path in (root, *(Path(entry.path) for entry in list_folder(root)))
            if stem(path).lower() in names and not _counts(path, names)
        ),
        None,
    )


def _candidates(root: Path, names: set[str]) -> Iterator[tuple[Path, bool]]:
    counts = _counts(root, names)
    if root.name.lower() in names and counts:
        yield root, False
    yield from _inside(root, names)
    if counts:
        yield root, True  # the files directly in the root: never a walk through all that lies there


def _counts(path: Path, names: set[str]) -> bool:
    others = names - {_COMMON}
    return (
        stem(path).lower() != _COMMON
        or others == names
        or not others
        or path.parent.name.lower() in others
    )


def _inside(folder: Path, names: set[str]) -> Iterator[tuple[Path, bool]]:
    # Most specific first: an archive or folder within a named folder before other named things.
    entries = sorted(
        path
        for path in (Path(entry.path) for entry in list_folder(folder))
        if stem(path).lower() in names and _counts(path, names)
    )
    for entry in entries:
        if entry.is_dir():
            yield entry, False
            yield from _inside(entry, names)
    yield from ((entry, False) for entry in entries if not entry.is_dir() and is_archive(entry))


def read_train_test(
    found: LabelledImages,
    source: ImageSource,
    shape: tuple[int, int, int],
    classes: tuple[str, ...],
    salt: str = "",
) -> tuple[ImageSet, ImageSet]:
    """The images to train and validate on, and those to test on, in the official order or else in
    that of ``order_seed``.

    Images of a validation folder join the training images: the split between the two is drawn by
    the configuration's seed. ``salt`` tells one set from another that it is paired with: class
    folders come class by class, so that one permutation of both would pair class with class.
    """
    salted = (zlib.crc32(salt.encode()),) if salt else ()
    request = Request(
        source.shape or shape, source.original_classes or classes, source.resize, source.group
    )
    sides = {
        split: _selected(found.read(split, request), source, classes) for split in found.splits
    }
    pool = _join([side for split, side in sides.items() if split != "test"])
    test = sides.get("test")
    if test is None:
        if source.test_fraction is None:
            raise BadInput(
                f"The {source.title} images in {found.tree.path} make no test side; add"
                " `test_fraction` to their source in the data card."
            )
        rest, part = split_indices(
            pool.labels, source.test_fraction, source.order_seed, pool.groups, salt=salted
        )
        return pool.take(rest), pool.take(part)
    if not found.ordered:
        pool, test = (
            side.take(order(len(side), source.order_seed, number, *salted))
            for number, side in enumerate((pool, test))
        )
    return pool, test


def _selected(side: ImageSet, source: ImageSource, classes: tuple[str, ...]) -> ImageSet:
    """The images of the wanted classes, the first `per_class` of each, with the wanted classes'
    numbers, in their order."""
    if source.original_classes:
        unknown = set(classes) - set(source.original_classes)
        if unknown or not classes:
            raise BadInput(
                f"The classes of the task that {source.title} labels should be named among"
                f" `original_classes`. Found {min(unknown) if unknown else 'no names'}; mend the"
                " data card."
            )
        numbers = np.array(
            [classes.index(name) if name in classes else -1 for name in source.original_classes],
            np.int64,
        )
        labels = numbers[side.labels]
        kept = np.flatnonzero(labels >= 0)
        side = ImageSet(
            side.images[kept], labels[kept], None if side.groups is None else side.groups[kept]
        )
    if source.per_class is None:
        return side
    firsts = [
        np.flatnonzero(side.labels == label)[: source.per_class] for label in np.unique(side.labels)
    ]
    return side.take(np.sort(np.concatenate(firsts)))


def read_all(
    found: LabelledImages,
    source: ImageSource,
    shape: tuple[int, int, int],
    classes: tuple[str, ...],
) -> tuple[ImageSet, tuple[str, ...]]:
    """All images, whatever sides their files make, and their names; see `LabelledImages.names`."""
    request = Request(source.shape or shape, classes, source.resize, source.group)
    names = tuple(name for split in found.splits for name in found.names(split))
    return _join([found.read(split, request) for split in found.splits]), names


def _join(sides: list[ImageSet]) -> ImageSet:
    if len(sides) == 1:
        return sides[0]
    if not sides:
        raise BadInput("The images make a test side and no training side; add the folder `train`.")
    groups = [side.groups for side in sides if side.groups is not None]
    images, labels = (
        np.concatenate([getattr(side, name) for side in sides]) for name in ("images", "labels")
    )
    masks = [side.masks for side in sides if side.masks is not None]
    return ImageSet(
        images,
        labels,
        np.concatenate(groups) if groups else None,
        np.concatenate(masks) if masks else None,
    )
