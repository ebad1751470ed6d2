"""Images in class folders with a mask each: `image/<class>/<file>` and `label_gray/<class>/<file>`,
the layout of GID-MTL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mtsearch.config.errors import BadInput
from mtsearch.data.decoding import (
    TRANSPOSING,
    DecodedImage,
    crop_centre,
    is_image,
    is_jpeg,
    open_image,
    rotate,
)
from mtsearch.data.formats.base import ImageSet, LabelledImages, Request, image_format
from mtsearch.data.formats.class_folders import natural
from mtsearch.data.formats.pictures import DecodeImage
from mtsearch.data.rows import FileRows, FileSet
from mtsearch.data.trees import Tree

_FILE = re.compile(r"(?:(.*)/)?(images?|label_gray)/([^/]+)/([^/]+)\.(\w+)")


@image_format
class MaskFolders(LabelledImages):
    """One split, with files paired by class and name without ending; other folders beside the two,
    such as coloured masks, are not read. Images are read class by class in the natural order of
    their names."""

    name = "mask_folders"
    splits = ("all",)
    ordered = False

    def __init__(self, tree: Tree, images: dict[str, str], masks: dict[str, str]) -> None:
        super().__init__(tree)
        self._images, self._masks = images, masks  # <class>/<name> -> file
        self.lossy = any(is_jpeg(file) for file in images.values())

    @classmethod
    def find(cls, tree: Tree) -> MaskFolders | None:
        images: dict[str, str] = {}
        masks: dict[str, str] = {}
        tops = set()
        for file in tree.files:
            match = _FILE.fullmatch(file)
            if match and is_image(file):
                tops.add(match[1])
                (masks if match[2] == "label_gray" else images)[f"{match[3]}/{match[4]}"] = file
        return cls(tree, images, masks) if images and masks and len(tops) == 1 else None

    @property
    def files(self) -> list[str]:
        return [*self._images.values(), *self._masks.values()]

    def names(self, split: str) -> tuple[str, ...]:
        return tuple(sorted(self._images, key=lambda name: (name.partition("/")[0], natural(name))))

    def read(self, split: str, request: Request) -> ImageSet:
        names = self.names(split)
        lonely = min(self._images.keys() ^ self._masks.keys(), default=None)
        if lonely is not None:
            here, there = ("image", "mask") if lonely in self._images else ("mask", "image")
            raise BadInput(
                f"The {here} {lonely} in {self.tree.path} has no {there}; complete the folders"
                " `image` and `label_gray`."
            )
        classes = request.classes or tuple(sorted({name.partition("/")[0] for name in names}))
        unknown = next((name for name in names if name.partition("/")[0] not in classes), None)
        if unknown is not None:
            folder = unknown.partition("/")[0]
            raise BadInput(
                f"The folder `{folder}` in {self.tree.path} is not a class of the data card, which"
                f" names {', '.join(classes)}."
            )
        labels = np.array([classes.index(name.partition("/")[0]) for name in names], np.int64)
        channels, height, width = request.shape
        plain = replace(request, classes=(), group=None)
        images = FileSet(
            self.tree,
            [(self._images[name],) for name in names],
            DecodeImage(plain, centre=True),
            (height, width, channels),
            np.dtype(np.uint8),
        )
        masks = FileSet(
            self.tree,
            [(self._masks[name], self._images[name]) for name in names],
            _DecodeMask(plain),
            (height, width),
            np.dtype(np.uint8),
        )
        return ImageSet(
            request.images(FileRows([images])), labels, masks=request.images(FileRows([masks]))
        )


@dataclass(frozen=True)
class _DecodeMask:
    """Decodes the class numbers of the centre of an image's pixels from the files of the mask and
    the image."""

    request: Request

    def __call__(self, contents: Sequence[bytes], where: Sequence[str]) -> NDArray[np.uint8]:
        _, height, width = self.request.shape
        mask, image = (open_image(*given) for given in zip(contents, where, strict=True))
        layout = Layout(image.image.size, image.orientation)
        numbers = crop_centre(align_mask(_class_numbers(mask), layout), (width, height))
        return np.asarray(numbers.resize((width, height), Image.Resampling.NEAREST))


@dataclass(frozen=True)
class Layout:
    """Width and height of an image as stored, and its EXIF orientation (1..8)."""

    size: tuple[int, int]
    orientation: int


def align_mask(mask: DecodedImage, image: Layout) -> Image.Image:
    """Rotate the mask to the upright position of its image.

    A mask with an orientation of its own is rotated by that. A mask without one may have been drawn
    on the upright or on the stored image; if the image's rotation exchanges width and height, the
    size of the mask determines which.

    Raises:
        BadInput: the sizes differ, or the position of the mask is ambiguous.
    """
    width, height = image.size
    upright = (height, width) if image.orientation in TRANSPOSING else image.size
    aligned = mask.image
    if mask.orientation != 1:
        aligned = rotate(mask.image, mask.orientation)
    elif image.orientation != 1 and upright == image.size:
        raise BadInput(
            f"The image of the mask {mask.where} has the EXIF orientation {image.orientation} but"
            " the mask has none, so the rotation of the mask is unknown; save the image upright"
            " without that tag."
        )
    elif image.orientation != 1 and mask.image.size == image.size:
        aligned = rotate(mask.image, image.orientation)
    if aligned.size != upright:
        raise BadInput(
            f"The mask {mask.where} and its image differ in size: {aligned.size}, {upright}."
        )
    return aligned


def _class_numbers(mask: DecodedImage) -> DecodedImage:
    """The mask as an image of class numbers, not of the colours of its palette."""
    if mask.image.mode not in ("L", "P", "1"):
        raise BadInput(
            f"The mask {mask.where} should have an 8-bit class number per pixel. Found mode"
            f" {mask.image.mode}; replace it."
        )
    if mask.image.format in ("JPEG", "MPO"):
        raise BadInput(
            f"The mask {mask.where} is a JPEG, whose compression changes class numbers; save it as"
            " PNG from the original."
        )
    numbers = Image.fromarray(np.asarray(mask.image).astype(np.uint8))
    return replace(mask, image=numbers)
