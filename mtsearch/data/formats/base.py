"""Labelled images in a tree, and the registry of their formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtsearch.data.rows import FileRows, loaded
from mtsearch.data.trees import Tree


@dataclass(frozen=True)
class ImageSet:
    """Images of one split with their labels.

    Attributes:
        images: uint8 (N, H, W, C); decoded when they are read if the request was `lazy`.
        labels: int64 (N,), one class each.
        groups: int64 (N,), group numbers; images of a group must stay in one split. A number means
            the same group in all splits of a set.
        masks: uint8 (N, H, W), class numbers of pixels; decoded as the images.
    """

    images: NDArray[np.uint8] | FileRows
    labels: NDArray[np.int64]
    groups: NDArray[np.int64] | None = None
    masks: NDArray[np.uint8] | FileRows | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The images in memory."""
        return loaded(self.images)

    def take(self, index: NDArray[np.int64]) -> ImageSet:
        """The images at these indices, in their order."""
        more = {
            name: values[index]
            for name in ("groups", "masks")
            if (values := getattr(self, name)) is not None
        }
        return ImageSet(self.images[index], self.labels[index], **more)


@dataclass(frozen=True)
class Request:
    """How images are read.

    Attributes:
        shape: (C, H, W).
        classes: fixes the order of named classes.
        resize: Pillow's filter; None refuses images of other sizes.
        group: a regular expression whose first group, in a file's stem, is the image's group.
        lazy: whether formats of single files may return `FileRows`, which hold no images in memory.
    """

    shape: tuple[int, int, int]
    classes: tuple[str, ...] = ()
    resize: str | None = None
    group: str | None = None
    lazy: bool = False

    def images(self, rows: FileRows) -> NDArray[np.uint8] | FileRows:
        """The rows as requested: lazy or in memory."""
        return rows if self.lazy else np.asarray(rows)


class LabelledImages(ABC):
    """Images of one format found in a tree.

    Attributes:
        splits: the splits of the files ("train", "val", "test", or only "all").
        ordered: whether the official order is kept.
        lossy: whether the files are JPEG.
    """

    name: str
    splits: tuple[str, ...]
    ordered: bool = True
    lossy: bool = False

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    @classmethod
    @abstractmethod
    def find(cls, tree: Tree) -> LabelledImages | None:
        """Find images of this format in the tree by file names alone; None if there are none."""

    @property
    def files(self) -> Iterable[str]:
        """The files of the tree that are read; by default all of them."""
        return self.tree.files

    def names(self, split: str) -> tuple[str, ...]:
        """The images of one split as `<class>/<file name without ending>`, in the order in which
        they are read; empty if images are not separate files."""
        return ()

    @abstractmethod
    def read(self, split: str, request: Request) -> ImageSet:
        """Read one split, in the format's own order.

        Raises:
            BadInput: files cannot be read or do not fit the request.
        """


FORMATS: dict[str, type[LabelledImages]] = {}


def image_format(cls: type[LabelledImages]) -> type[LabelledImages]:
    """Register a format under its ``name``; formats are tried in the order of their
    registration."""
    FORMATS[cls.name] = cls
    return cls


def find_images(tree: Tree) -> LabelledImages | None:
    """The images in a tree, in the first format that matches."""
    return next((found for cls in FORMATS.values() if (found := cls.find(tree)) is not None), None)
