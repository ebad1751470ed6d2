"""Locating a set of images below a data root, and reading its official train and test splits."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from mtsearch.config.base import Model
from mtsearch.config.errors import BadInput
from mtsearch.data.archives import is_archive, open_tree, stem
from mtsearch.data.formats import ImageSet, LabelledImages, Request, find_images
from mtsearch.data.formats.layout_errors import explain_layout
from mtsearch.data.formats.unsorted_files import UnsortedFiles
from mtsearch.data.named_files import named_files
from mtsearch.data.rows import join_rows
from mtsearch.data.splits import order, split_indices
from mtsearch.data.trees import list_folder

_COMMON = "raw"  # the folder name of every torchvision dataset that consists of IDX files


class ImageSource(Model):
    """One set of images as a card's `source` describes it.

    Attributes:
        title: its name in messages; by default the first of `names`.
        names: names of folders or archives (without ending, case-insensitive) that contain the set,
            directly in the root or nested in one another. The common name `raw` counts, beside
            other names, only inside a folder with one of these.
        lossless: whether the original is lossless; JPEG copies are then noted in the label.
        order_seed: fixes the order, and the test split if there is none, when the files have lost
            the official order.
        test_fraction: share of test images when the files have no test split.
        original_classes: classes of the files by number, when the card's task uses only some of
            them; images of other classes are left out.
        per_class: number of images kept of each class, the first ones of each official split.
        folds: the set is divided into five folds, by CSV files beside the images or else by
            ``order_seed``; see `mtsearch.data.folds`.
    """

    title: str = ""
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

    @model_validator(mode="before")
    @classmethod
    def _titled(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("title") and data.get("names"):
            return {**data, "title": str(data["names"][0])}
        return data

    @model_validator(mode="after")
    def _check_folds(self) -> ImageSource:
        if self.folds and (self.original_classes or self.per_class):
            raise ValueError(
                "`folds` divide all images of a set, so they cannot be combined with"
                " `original_classes` or `per_class`"
            )
        return self


class FileSource(ImageSource):
    """Files below the root that are read as they are, without looking for images.

    Attributes:
        files: their names.
    """

    files: tuple[str, ...] = Field(min_length=1)


def locate(root: Path, source: ImageSource) -> LabelledImages | None:
    """Find the images of a source below a root by file names alone; None if they are not there.
    Unsorted files are tried last, because the folder of a set may also contain tables and single
    images."""
    if isinstance(source, FileSource):
        return named_files(root, source.files)
    unsorted: LabelledImages | None = None
    for path, shallow in _candidates(root, {name.lower() for name in source.names}):
        found = find_images(open_tree(path, shallow=shallow))
        if found is not None and not isinstance(found, UnsortedFiles):
            return found
        unsorted = unsorted or found
    return unsorted


def layout_error(root: Path, source: ImageSource) -> str:
    """Why a folder or archive with one of the source's names does not contain its images: a clause
    with the path, empty if there is no such folder or archive."""
    for path, shallow in _candidates(root, {name.lower() for name in source.names}):
        if not shallow:
            return f"{path} {explain_layout(open_tree(path))}"
    return ""


def ambiguous_raw_folder(root: Path, source: ImageSource) -> Path | None:
    """The folder `raw` that is the root or inside it and does not count because its parent has
    another name."""
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
        yield root, True  # files directly in the root; the root is never searched recursively


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
    *,
    lazy: bool = False,
) -> tuple[ImageSet, ImageSet]:
    """The images for training and validation, and those for testing, in the official order or in
    that of ``order_seed``.

    Images of a validation folder join the training images, because the split between the two is
    drawn with the configuration's seed. ``salt`` distinguishes two sets that are paired: class
    folders are read class by class, so one permutation of both would pair class with class. With
    ``lazy``, images of single files are `FileRows`, which are decoded when they are written.
    """
    salted = (zlib.crc32(salt.encode()),) if salt else ()
    request = Request(
        source.shape or shape,
        source.original_classes or classes,
        source.resize,
        source.group,
        lazy,
    )
    parts = {
        split: _selected(found.read(split, request), source, classes) for split in found.splits
    }
    pool = _join([part for split, part in parts.items() if split != "test"])
    test = parts.get("test")
    if test is None:
        if source.test_fraction is None:
            raise BadInput(
                f"The {source.title} images in {found.tree.path} have no test split; add"
                " `test_fraction` to their source in the data card."
            )
        rest, tested = split_indices(
            pool.labels, source.test_fraction, source.order_seed, pool.groups, salt=salted
        )
        return pool.take(rest), pool.take(tested)
    if not found.ordered:
        pool, test = (
            part.take(order(len(part), source.order_seed, number, *salted))
            for number, part in enumerate((pool, test))
        )
    return pool, test


def _selected(part: ImageSet, source: ImageSource, classes: tuple[str, ...]) -> ImageSet:
    """The images of the wanted classes in their order, the first `per_class` of each, labelled with
    the numbers of the wanted classes."""
    if source.original_classes:
        unknown = set(classes) - set(source.original_classes)
        if unknown or not classes:
            raise BadInput(
                f"The classes of the task that {source.title} labels should be named among"
                f" `original_classes`. Found {min(unknown) if unknown else 'no names'}; correct the"
                " data card."
            )
        numbers = np.array(
            [classes.index(name) if name in classes else -1 for name in source.original_classes],
            np.int64,
        )
        labels = numbers[part.labels]
        kept = np.flatnonzero(labels >= 0)
        part = ImageSet(
            part.images[kept], labels[kept], None if part.groups is None else part.groups[kept]
        )
    if source.per_class is None:
        return part
    firsts = [
        np.flatnonzero(part.labels == label)[: source.per_class] for label in np.unique(part.labels)
    ]
    return part.take(np.sort(np.concatenate(firsts)))


def read_all(
    found: LabelledImages,
    source: ImageSource,
    shape: tuple[int, int, int],
    classes: tuple[str, ...],
    *,
    lazy: bool = False,
) -> tuple[ImageSet, tuple[str, ...]]:
    """All images of all official splits, and their names; see `LabelledImages.names`. ``lazy`` as
    in `read_train_test`."""
    request = Request(source.shape or shape, classes, source.resize, source.group, lazy)
    names = tuple(name for split in found.splits for name in found.names(split))
    return _join([found.read(split, request) for split in found.splits]), names


def _join(parts: list[ImageSet]) -> ImageSet:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        raise BadInput(
            "The images have a test split but no training split; add the folder `train`."
        )
    groups = [part.groups for part in parts if part.groups is not None]
    masks = [part.masks for part in parts if part.masks is not None]
    return ImageSet(
        join_rows([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate(groups) if groups else None,
        join_rows(masks) if masks else None,
    )
