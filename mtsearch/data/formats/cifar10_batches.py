"""The official CIFAR-10 python batches (`data_batch_1..5`, `test_batch`), in their folder or in
`cifar-10-python.tar.gz`."""

from __future__ import annotations

import io
import math
import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.errors import BadInput
from mtsearch.data.formats.base import ImageSet, LabelledImages, Request, image_format
from mtsearch.data.trees import Tree

_BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}
_SHAPE = (3, 32, 32)


@image_format
class Cifar10Batches(LabelledImages):
    """Rows of 3,072 bytes, channel by channel, with a list of labels, in the official order."""

    name = "cifar10_batches"
    splits = ("train", "test")

    def __init__(self, tree: Tree, folder: str) -> None:
        super().__init__(tree)
        self._folder = folder

    @classmethod
    def find(cls, tree: Tree) -> Cifar10Batches | None:
        names = set(tree.files)
        for file in tree.files:
            folder = file.removesuffix("data_batch_1")
            if folder != file and all(
                folder + batch in names for batches in _BATCHES.values() for batch in batches
            ):
                return cls(tree, folder)
        return None

    @property
    def files(self) -> list[str]:
        return [self._folder + batch for batches in _BATCHES.values() for batch in batches]

    def read(self, split: str, request: Request) -> ImageSet:
        if request.shape != _SHAPE:
            raise BadInput(
                f"CIFAR-10's images have shape {_SHAPE}. Found {request.shape} in the data card."
            )
        batches = dict(self.tree.read_many(self._folder + batch for batch in _BATCHES[split]))
        images, labels = [], []
        for name in sorted(batches):
            batch = load_plain(batches[name], f"{name} in {self.tree.path}")
            rows, classes = (
                batch.get(key, batch.get(key.decode())) if isinstance(batch, dict) else None
                for key in (b"data", b"labels")
            )
            if (
                not isinstance(rows, np.ndarray)
                or rows.dtype != np.uint8
                or rows.ndim != 2
                or rows.shape[1] != 3072
                or not isinstance(classes, list)
            ):
                raise BadInput(
                    f"The file {name} in {self.tree.path} is not a CIFAR-10 batch of 3,072 bytes"
                    " per row; download cifar-10-python.tar.gz again."
                )
            if len(rows) != len(classes):
                raise BadInput(
                    f"The file {name} in {self.tree.path} contains {len(rows)} images and"
                    f" {len(classes)} labels; download cifar-10-python.tar.gz again."
                )
            images.append(rows.reshape(-1, *_SHAPE).transpose(0, 2, 3, 1))
            labels.append(np.asarray(classes, np.int64))
        return ImageSet(np.concatenate(images), np.concatenate(labels))


def load_plain(content: bytes, where: str) -> Any:
    """Unpickle arrays of bytes, byte strings, strings, numbers, lists and dicts; anything else is
    refused before it can run.

    Arrays are rebuilt if they are the content itself or a value of the dict that is the content.
    """
    try:
        loaded = _PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
        return (
            {key: _plain(value) for key, value in loaded.items()}
            if isinstance(loaded, dict)
            else _plain(loaded)
        )
    except _Refused as error:
        raise BadInput(
            f"The file {where} refers to `{error}`, which no CIFAR-10 batch needs. It was not"
            " loaded; download it from its official page."
        ) from error
    except Exception as error:  # a damaged pickle can raise almost any exception
        raise BadInput(
            f"The file {where} is damaged ({type(error).__name__}: {error}); download it again."
        ) from error


class _Refused(Exception):
    pass


class _ByteType:
    """Replaces numpy's dtype of unsigned bytes and ignores the state that the file sets."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        pass


class _Array:
    """Replaces an array of bytes and checks the state that the file sets before numpy uses it."""

    __slots__ = ("array",)
    array: NDArray[np.uint8]

    def __setstate__(self, state: Any) -> None:
        shape, kind, columns_first, content = state[-4:]  # a version number may come first
        if type(kind) is not _ByteType:
            raise _Refused("an array of another type than bytes")
        if (
            type(content) is not bytes
            or not all(type(size) is int and size >= 0 for size in shape)
            or math.prod(shape) != len(content)
        ):
            raise ValueError("an array's shape does not fit its bytes")
        self.array = np.frombuffer(content, np.uint8).reshape(
            tuple(shape), order="F" if columns_first else "C"
        )


class _Global:
    """Replaces an object that a file refers to by name. Calling it can only create bytes or one of
    the two replacements above."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *given: Any) -> Any:
        first = given[0] if given else None
        # How Python 3 writes bytes under old pickle protocols.
        if self.name == "_codecs.encode" and type(first) is str:
            return first.encode("latin1")
        if self.name == "numpy.dtype" and first in ("u1", b"u1", "|u1", b"|u1"):
            return _ByteType()
        if (
            self.name.endswith("._reconstruct")
            and type(first) is _Global
            and first.name == "numpy.ndarray"
        ):
            return _Array()
        raise _Refused(f"{self.name}({first!r})")

    def __repr__(self) -> str:
        return self.name

    def __setstate__(self, state: Any) -> None:
        raise _Refused(f"a change of {self.name}")


def _plain(value: Any) -> Any:
    return value.array if type(value) is _Array else value


_NAMES = (
    "numpy.ndarray",
    "numpy.dtype",
    "_codecs.encode",
    *(f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")),
)


class _PlainUnpickler(pickle.Unpickler):
    # No name in the file is ever imported.
    def find_class(self, module: str, name: str) -> Any:
        called = f"{module}.{name}"
        if called not in _NAMES:
            raise _Refused(called)
        return _Global(called)
