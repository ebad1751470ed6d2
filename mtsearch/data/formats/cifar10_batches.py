"""The official CIFAR-10 python batches (`data_batch_1..5`, `test_batch`), in their folder or in `cifar-10-python.tar.gz`."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

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
            if folder != file and all(folder + batch in names for batches in _BATCHES.values() for batch in batches):
                return cls(tree, folder)
        return None

    def read(self, split: str, request: Request) -> ImageSet:
        if request.shape != _SHAPE:
            raise BadInput(f"CIFAR-10's images have shape {_SHAPE}. Found {request.shape} asked for.")
        batches = dict(self.tree.read_many(self._folder + batch for batch in _BATCHES[split]))
        images, labels = [], []
        for name in sorted(batches):
            batch = load_plain(batches[name], f"{name} in {self.tree.path}")
            rows, classes = (batch.get(key, batch.get(key.decode())) if isinstance(batch, dict) else None for key in (b"data", b"labels"))
            if (
                not isinstance(rows, np.ndarray)
                or rows.dtype != np.uint8
                or rows.ndim != 2
                or rows.shape[1] != 3072
                or not isinstance(classes, list)
            ):
                raise BadInput(
                    f"The file {name} in {self.tree.path} is no CIFAR-10 batch of 3,072 bytes a row; download cifar-10-python.tar.gz again."
                )
            if len(rows) != len(classes):
                raise BadInput(
                    f"The file {name} in {self.tree.path} holds {len(rows)} images and {len(classes)} labels; download "
                    f"cifar-10-python.tar.gz again."
                )
            images.append(rows.reshape(-1, *_SHAPE).transpose(0, 2, 3, 1))
            labels.append(np.asarray(classes, np.int64))
        return ImageSet(np.concatenate(images), np.concatenate(labels))


def load_plain(content: bytes, where: str) -> Any:
    """Unpickle arrays, bytes, strings, numbers, lists and dicts, and refuse everything else before it can run."""
    try:
        return _PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
    except _Refused as error:
        raise BadInput(
            f"The file {where} asks for `{error}`, which no CIFAR-10 batch needs; it was not loaded, download it from its official page."
        ) from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise BadInput(f"The file {where} is damaged ({type(error).__name__}: {error}); download it again.") from error


class _Refused(Exception):
    pass


def _empty_array(kind: Any, shape: Any, dtype: Any) -> Any:
    return np.empty(0, np.uint8)  # its __setstate__ then gives it its shape, type and bytes


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode("latin1")


def _dtype(name: Any, *flags: Any) -> Any:
    if name not in ("u1", b"u1", "|u1", b"|u1"):
        raise _Refused(f"numpy.dtype({name!r})")
    return np.dtype(np.uint8)


class _PlainUnpickler(pickle.Unpickler):
    # Our own small stand-ins take the place of numpy's constructors, so that nothing named in the file is ever imported.
    def find_class(self, module: str, name: str) -> Any:
        known = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): _dtype, ("_codecs", "encode"): _encode}
        known |= {(f"numpy.{core}.multiarray", "_reconstruct"): _empty_array for core in ("core", "_core")}
        if (module, name) not in known:
            raise _Refused(f"{module}.{name}")
        return known[module, name]
