"""IDX files, plain or gzipped, of MNIST and similar sets, under the names of the official download
and of torchvision's `MNIST/raw`."""

from __future__ import annotations

import gzip
import io
import re
import zlib

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.errors import BadInput
from mtsearch.data.formats.base import ImageSet, LabelledImages, Request, image_format
from mtsearch.data.trees import Tree

_NAME = re.compile(r"(train|t10k)-(images|labels)[-.]idx[13]-ubyte(\.gz)?")
_LARGEST = 4 << 30
_SPLIT = {"train": "train", "t10k": "test"}


@image_format
class Idx(LabelledImages):
    """`train-images-idx3-ubyte[.gz]` and the three related files, all in one folder. Grey is
    repeated if the request has three channels."""

    name = "idx"
    splits = ("train", "test")

    def __init__(self, tree: Tree, files: dict[tuple[str, str], str]) -> None:
        super().__init__(tree)
        self._files = files

    @classmethod
    def find(cls, tree: Tree) -> Idx | None:
        folders: dict[str, dict[tuple[str, str], str]] = {}
        for file in tree.files:
            folder, _, name = file.rpartition("/")
            if match := _NAME.fullmatch(name):
                folders.setdefault(folder, {}).setdefault((_SPLIT[match[1]], match[2]), file)
        return next((cls(tree, files) for files in folders.values() if len(files) == 4), None)

    @property
    def files(self) -> list[str]:
        return list(self._files.values())

    def read(self, split: str, request: Request) -> ImageSet:
        images = read_idx(self.tree, self._files[split, "images"])
        labels = read_idx(self.tree, self._files[split, "labels"])
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise BadInput(
                f"The IDX files in {self.tree.path} do not fit each other: images {images.shape},"
                f" labels {labels.shape}; download them again."
            )
        if images.shape[1:] != request.shape[1:] or request.shape[0] not in (1, 3):
            raise BadInput(
                f"The images in {self.tree.path} should have shape {request.shape}. Found"
                f" {(1, *images.shape[1:])}."
            )
        return ImageSet(
            np.repeat(images[..., None], request.shape[0], axis=3), labels.astype(np.int64)
        )


def read_idx(tree: Tree, name: str) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes: magic 0x000008DD with DD dimensions, their big-endian
    sizes, then the values."""
    content = tree.read(name)
    try:
        if content[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(content)) as file:
                content = file.read(_LARGEST + 1)
            if len(content) > _LARGEST:
                raise ValueError(f"it expands to more than {_LARGEST:,} bytes")
        if len(content) < 4 or content[:3] != b"\0\0\x08":
            raise ValueError("no IDX header of unsigned bytes")
        shape = tuple(np.frombuffer(content, ">u4", count=content[3], offset=4).tolist())
        values = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])
        return values.reshape(shape)
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise BadInput(
            f"The IDX file {name} in {tree.path} is damaged ({error}); download it again."
        ) from error
