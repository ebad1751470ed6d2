"""Labels of pixels from files: masks, depth maps, surface normals and target images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.data.decoding import TRANSPOSING, DecodedImage, convert, open_image, rotate
from mtsearch.data.npy import is_npy, read_npy
from mtsearch.data.remarks import remark

_LOSSY = ("JPEG", "MPO")
_LENGTHS = (0.5, 1.5)
"""Colours whose vectors have other lengths, such as black, are no normals."""


@dataclass(frozen=True)
class DecodeDense:
    """Decodes the labels of one image's pixels from a file and the image, in this order; labels
    that are missing, from the image alone.

    A file is an image or an array of numpy, of the size of the image. Labels are scaled to the
    dataset's size by the nearest pixel, target images with the filter of the images.

    Attributes:
        task: the card of a task of a kind in `DENSE`.
        size: height and width of the result.
        resize: Pillow's filter; None refuses other sizes.
        dtype: of the result.
    """

    task: TaskCard
    size: tuple[int, int]
    resize: str | None
    dtype: np.dtype[Any]

    def __call__(self, contents: Sequence[bytes], where: Sequence[str]) -> NDArray[Any]:
        if len(contents) == 1:
            return np.full(self.shape, self.task.missing, self.dtype)
        file, image = (_open(*given) for given in zip(contents, where, strict=True))
        size = _upright_size(image)
        values = _READERS[self.task.kind](self.task, file, where[0], size)
        scaled = self._scaled(values, where[0])
        if self.task.kind == "restoration" and self.dtype != np.uint8:
            scaled = scaled.astype(np.float32) / 255
        return scaled.astype(self.dtype).reshape(self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the labels of one image."""
        return self.size if self.task.kind == "segmentation" else (self.task.outputs, *self.size)

    def _scaled(self, values: NDArray[Any], where: str) -> NDArray[Any]:
        """Values (..., h, w) in the size of the dataset."""
        if values.shape[-2:] == self.size:
            return values
        height, width = values.shape[-2:]
        if self.resize is None:
            raise BadInput(
                f"The labels {where} should measure {self.size[1]}x{self.size[0]}. Found"
                f" {width}x{height}; add `resize: bilinear` to the images' source in the data card"
                " to scale them."
            )
        if self.task.kind == "restoration":
            return self._resampled(values, self.resize)
        rows, columns = (
            ((np.arange(new) + 0.5) * old / new).astype(np.int64)
            for new, old in zip(self.size, (height, width), strict=True)
        )
        return values[..., rows[:, None], columns]

    def _resampled(self, values: NDArray[Any], resize: str) -> NDArray[Any]:
        height, width = self.size
        filter_ = Image.Resampling[resize.upper()]
        planes = [Image.fromarray(plane).resize((width, height), filter_) for plane in values]
        return np.stack([np.asarray(plane) for plane in planes])


def dense_dtype(task: TaskCard, missing: bool) -> np.dtype[Any]:
    """The type in which a task's labels of pixels are stored; `missing` says whether some images
    have none."""
    if task.kind == "segmentation":
        small = 0 <= task.ignore <= 255 and task.outputs <= 256
        if small:
            return np.dtype(np.uint8)
        limits = np.iinfo(np.int16)
        fits = limits.min <= task.ignore <= limits.max and task.outputs <= limits.max
        return np.dtype(np.int16 if fits else np.int64)
    return np.dtype(np.uint8 if task.kind == "restoration" and not missing else np.float32)


@dataclass(frozen=True)
class _Opened:
    """A file as it was read: an array, or an image with its EXIF orientation."""

    array: NDArray[Any] | None
    image: Image.Image | None = None
    orientation: int = 1


def _open(content: bytes, where: str) -> _Opened:
    if is_npy(content):
        return _Opened(read_npy(content, where))
    found = open_image(content, where)
    return _Opened(None, found.image, found.orientation)


def _upright_size(opened: _Opened) -> tuple[int, int]:
    """Height and width of an image, of which an array has its channels last."""
    if opened.array is not None:
        return int(opened.array.shape[0]), int(opened.array.shape[1])
    assert opened.image is not None
    width, height = opened.image.size
    return (width, height) if opened.orientation in TRANSPOSING else (height, width)


def _planes(file: _Opened, where: str, size: tuple[int, int], channels: int) -> NDArray[Any]:
    """A file as an array (channels, h, w) of the upright image's size."""
    if file.array is not None:
        found = file.array
        if found.shape == size and channels == 1:
            return found[None]
        if found.shape == (*size, channels):
            return np.moveaxis(found, -1, 0)
        if found.shape == (channels, *size):
            return found
        shape = "x".join(map(str, found.shape))
    else:
        assert file.image is not None
        image = rotate(file.image, file.orientation)
        if image.size == size[::-1]:
            found = np.asarray(image)
            return found[None] if found.ndim == 2 else np.moveaxis(found, -1, 0)
        shape = f"{image.size[1]}x{image.size[0]}"
    expected = "x".join(map(str, (*size, *([channels] if channels > 1 else []))))
    raise BadInput(
        f"The labels {where} should be as large as their image, {expected} (height, width). Found"
        f" {shape}; replace the file."
    )


def _refuse_lossy(file: _Opened, where: str, what: str) -> None:
    if file.image is not None and file.image.format in _LOSSY:
        raise BadInput(
            f"The {what} {where} is a JPEG, whose compression changes its values; save it as PNG"
            " from the original."
        )


def _mask(task: TaskCard, file: _Opened, where: str, size: tuple[int, int]) -> NDArray[Any]:
    """Class numbers (h, w)."""
    _refuse_lossy(file, where, "mask")
    if task.colours:
        return _class_of_colours(task, file, where, size)
    if file.image is not None and file.image.mode not in ("L", "P", "1", "I", "I;16"):
        raise BadInput(
            f"The mask {where} should have a class number per pixel. Found mode"
            f" {file.image.mode}; give the colour of each class as `colours` of the task."
        )
    (values,) = _planes(file, where, size, 1)
    numbers = values.astype(np.int64)
    if values.dtype.kind == "f" and not (numbers == values).all():
        raise BadInput(f"The mask {where} should contain whole numbers. Found others.")
    known = numbers[numbers != task.ignore]
    if known.size and not (known.min() >= 0 and known.max() < task.outputs):
        wrong = known.min() if known.min() < 0 else known.max()
        raise BadInput(
            f"The mask {where} should have the classes 0..{task.outputs - 1} of task `{task.name}`."
            f" Found {wrong}; write `ignore: {wrong}` if it marks pixels without a label."
        )
    return numbers


def _class_of_colours(
    task: TaskCard, file: _Opened, where: str, size: tuple[int, int]
) -> NDArray[np.int64]:
    if file.image is not None:
        file = _Opened(None, file.image.convert("RGB"), file.orientation)
    planes = _planes(file, where, size, 3).astype(np.int64)
    codes = (planes[0] << 16) + (planes[1] << 8) + planes[2]
    numbers = np.full(size, -1, np.int64)
    known = np.zeros(size, np.bool_)
    table = [*zip(task.colours, range(task.outputs), strict=True)]
    if task.ignore_colour is not None:
        table.append((task.ignore_colour, task.ignore))
    for (red, green, blue), number in table:
        here = codes == (red << 16) + (green << 8) + blue
        numbers[here], known[here] = number, True
    if not known.all():
        found = planes[:, ~known][:, 0].tolist()
        raise BadInput(
            f"The mask {where} has a pixel of the colour {found}, which is none of the `colours` of"
            f" task `{task.name}`; add it, or write `ignore_colour: {found}` if it marks pixels"
            " without a label."
        )
    return numbers


def _depth(task: TaskCard, file: _Opened, where: str, size: tuple[int, int]) -> NDArray[Any]:
    """Depths (1, h, w), NaN where nothing was measured."""
    _refuse_lossy(file, where, "depth map")
    if file.image is not None and (len(file.image.getbands()) > 1 or file.image.mode == "P"):
        raise BadInput(
            f"The depth map {where} should have one channel. Found mode {file.image.mode}; save it"
            " as PNG of 16 bits or as an array of numpy."
        )
    values = _planes(file, where, size, 1).astype(np.float32) * np.float32(task.scale)
    if (values < 0).any():
        remark("depth maps with negative values, which count as not measured", where)
    return np.where((values > 0) & np.isfinite(values), values, np.nan)


def _normals(task: TaskCard, file: _Opened, where: str, size: tuple[int, int]) -> NDArray[Any]:
    """Vectors (3, h, w) of length 1, NaN where there is none."""
    _refuse_lossy(file, where, "normal map")
    if file.image is not None:
        file = _Opened(None, file.image.convert("RGB"), file.orientation)
    found = _planes(file, where, size, 3)
    values = found.astype(np.float64)
    lengths = (1e-6, np.inf)
    if found.dtype == np.uint8:  # colours: -1 is 0, 1 is 255
        values, lengths = values * 2 / 255 - 1, _LENGTHS
    elif found.dtype.kind != "f":
        raise BadInput(
            f"The normal map {where} should have the type uint8, for colours, or float. Found"
            f" {found.dtype}; convert it."
        )
    length = np.linalg.norm(values, axis=0)
    known = (length > lengths[0]) & (length < lengths[1])  # not NaN either
    return np.where(known, values / np.where(known, length, 1), np.nan)


def _target(task: TaskCard, file: _Opened, where: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A target image (C, h, w)."""
    if file.image is None:
        raise BadInput(f"The target image {where} should be an image. Found an array of numpy.")
    picture = convert(DecodedImage(file.image, file.orientation, where), task.outputs)
    planes = _planes(_Opened(None, picture), where, size, task.outputs)
    return np.ascontiguousarray(planes.astype(np.uint8))


_READERS = {
    "segmentation": _mask,
    "depth": _depth,
    "normals": _normals,
    "restoration": _target,
}
