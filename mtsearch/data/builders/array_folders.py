"""Images and labels of pixels as arrays of numpy in folders (NYUv2 and Cityscapes)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.metrics import DENSE
from mtsearch.data.builders.base import (
    DatasetBuilder,
    SplitArrays,
    SplitSpec,
    channels_first,
    dataset_builder,
)
from mtsearch.data.dense import DecodeDense, dense_dtype
from mtsearch.data.formats import LabelledImages
from mtsearch.data.formats.array_folders import ArrayFolders
from mtsearch.data.npy import read_npy
from mtsearch.data.rows import FileRows, FileSet
from mtsearch.data.sources import ImageSource
from mtsearch.data.splits import split_indices
from mtsearch.data.tables import refuse


@dataclass(frozen=True)
class _DecodeArray:
    """Decodes an image from an array (h, w, C) or (h, w), of bytes or of floats in [0, 1], which
    are rounded to bytes."""

    shape: tuple[int, int, int]
    resize: str | None

    def __call__(self, contents: Sequence[bytes], where: Sequence[str]) -> NDArray[np.uint8]:
        found = read_npy(contents[0], where[0])
        channels, height, width = self.shape
        found = found[..., None] if found.ndim == 2 else found
        if found.ndim != 3 or found.shape[2] != channels:
            raise BadInput(
                f"The image {where[0]} should have the shape (height, width, {channels}). Found"
                f" {found.shape}; correct `shape` in the data card."
            )
        if found.dtype != np.uint8:
            low, high = float(found.min()), float(found.max())
            if found.dtype.kind != "f" or not (low >= 0 and high <= 1):
                raise BadInput(
                    f"The image {where[0]} should have numbers of type uint8, or floats in [0, 1]."
                    f" Found {found.dtype} in [{low:g}, {high:g}]; convert it."
                )
            found = np.rint(found * 255).astype(np.uint8)
        if found.shape[:2] != (height, width):
            if self.resize is None:
                raise BadInput(
                    f"The image {where[0]} should measure {width}x{height}. Found"
                    f" {found.shape[1]}x{found.shape[0]}; add `resize: bilinear` to its source in"
                    " the data card to scale it."
                )
            filter_ = Image.Resampling[self.resize.upper()]
            planes = [
                np.asarray(Image.fromarray(plane).resize((width, height), filter_))
                for plane in np.moveaxis(found, -1, 0)
            ]
            found = np.stack(planes, -1)
        return np.ascontiguousarray(found)


@dataset_builder("array_folders")
class ArrayFolderSet(DatasetBuilder):
    """Images in `<split>/image/<name>.npy`, and the labels of each task in `<split>/<column>/`,
    where `column` of a task is by default its name.

    With a folder `test` the splits are as the files have them; else the folder `val` has the test
    images, as in LibMTL, and the validation images are drawn from the training images.
    """

    kind: Literal["array_folders"] = "array_folders"
    images: ImageSource

    def compose(
        self, card: DatasetCard, found: dict[str, LabelledImages], spec: SplitSpec
    ) -> dict[str, SplitArrays]:
        files = found["images"]
        if not isinstance(files, ArrayFolders):
            raise BadInput(
                f"The images of `{card.name}` in {files.tree.path} are {files.name}; they should be"
                " arrays in folders such as train/image."
            )
        if len(files.splits) < 2:
            raise BadInput(f"{files.tree.path} has no folder `val` with images; add it.")
        last = "test" if "test" in files.splits else "val"
        parts = {"train": ("train", None), "val": ("val", None), "test": (last, None)}
        index: dict[str, tuple[str, NDArray[np.int64] | None]] = dict(parts)
        if last == "val" or "val" not in files.splits:
            rest, drawn = split_indices(
                np.zeros(len(files.names("train")), np.int64), spec.val_fraction, spec.seed
            )
            index |= {"train": ("train", rest), "val": ("train", drawn)}
        wrong: list[str] = []
        whole = {split: self._read(card, files, split, wrong) for split in files.splits}
        refuse(wrong)
        return {
            name: whole[split]
            if chosen is None
            else SplitArrays(
                whole[split].images[chosen],
                tuple(values[chosen] for values in whole[split].labels),
            )
            for name, (split, chosen) in index.items()
        }

    def _read(
        self, card: DatasetCard, files: ArrayFolders, split: str, wrong: list[str]
    ) -> SplitArrays:
        names, folders = files.names(split), files.arrays[split]
        channels, height, width = card.image_shape
        images = FileSet(
            files.tree,
            [(folders["image"][name],) for name in names],
            _DecodeArray(card.image_shape, self.images.resize),
            (height, width, channels),
            np.dtype(np.uint8),
        )
        labels = [self._labels(card, task, files, split, wrong) for task in card.tasks]
        return SplitArrays(channels_first(FileRows([images])), tuple(labels))

    def _labels(
        self, card: DatasetCard, task: TaskCard, files: ArrayFolders, split: str, wrong: list[str]
    ) -> FileRows:
        if task.kind not in DENSE:
            raise BadInput(
                f"Task `{task.name}` of `{card.name}` should be one of {', '.join(DENSE)}. Found"
                f" {task.kind}."
            )
        folders, column = files.arrays[split], task.column or task.name
        labels = folders.get(column, {})
        pairs: list[tuple[str, ...]] = []
        for name in files.names(split):
            if name in labels:
                pairs.append((labels[name], folders["image"][name]))
            else:
                pairs.append((folders["image"][name],))
        lacking = [pair[0] for pair in pairs if len(pair) == 1]
        if lacking:
            wrong.append(
                f"{len(lacking)} images of {files.tree.path}, such as {lacking[0]}, have no labels"
                f" of task `{task.name}` in {split}/{column}."
                + (f" {nearest(column, folders)}" if not labels else "")
            )
        _, height, width = card.image_shape
        dtype = dense_dtype(task, bool(lacking))
        decode = DecodeDense(task, (height, width), self.images.resize, dtype)
        return FileRows([FileSet(files.tree, pairs, decode, decode.shape, dtype)])
