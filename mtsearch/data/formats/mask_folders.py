"""Images in class folders with a mask each: `image/<class>/<file>` and `label_gray/<class>/<file>`,
as GID-MTL has them."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mtsearch.config.errors import BadInput
from mtsearch.data.formats.base import ImageSet, LabelledImages, Request, image_format
from mtsearch.data.formats.class_folders import ENDINGS, fitted, natural, opened
from mtsearch.data.trees import Tree

_FILE = re.compile(r"(?:(.*)/)?(images?|label_gray)/([^/]+)/([^/]+)\.(\w+)")


@image_format
class MaskFolders(LabelledImages):
    """One side, its files paired by class and name without ending; other folders beside the two,
    such as colour pictures of the masks, are not read. Images are read class by class in the
    natural order of their names."""

    name = "mask_folders"
    splits = ("all",)
    ordered = False

    def __init__(self, tree: Tree, images: dict[str, str], masks: dict[str, str]) -> None:
        super().__init__(tree)
        self._images, self._masks = images, masks  # <class>/<name> -> file
        self.lossy = any(file.lower().endswith((".jpg", ".jpeg")) for file in images.values())

    @classmethod
    def find(cls, tree: Tree) -> MaskFolders | None:
        images: dict[str, str] = {}
        masks: dict[str, str] = {}
        tops = set()
        for file in tree.files:
            match = _FILE.fullmatch(file)
            if match and f".{match[5].lower()}" in ENDINGS:
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
                f"The folder `{folder}` in {self.tree.path} is no class of the data card, which"
                f" names {', '.join(classes)}."
            )
        channels, height, width = request.shape
        images = np.empty((len(names), height, width, channels), np.uint8)
        masks = np.empty((len(names), height, width), np.uint8)
        places = {
            tree[name]: (place, out)
            for place, name in enumerate(names)
            for tree, out in ((self._images, images), (self._masks, masks))
        }
        sizes: dict[int, tuple[int, int]] = {}
        for file, content in self.tree.read_many(places):
            place, out = places[file]
            where = f"{file} in {self.tree.path}"
            image = opened(content, where)
            if sizes.setdefault(place, image.size) != image.size:
                raise BadInput(
                    f"The image {names[place]} in {self.tree.path} and its mask differ in size:"
                    f" {sizes[place]}, {image.size}."
                )
            if out is masks:
                out[place] = _mask(image, (width, height), where)
            else:
                out[place] = _image(image, request, where)
        labels = np.array([classes.index(name.partition("/")[0]) for name in names], np.int64)
        return ImageSet(images, labels, masks=masks)


def _image(image: Image.Image, request: Request, where: str) -> NDArray[np.uint8]:
    channels, height, width = request.shape
    if channels not in (1, 3):
        raise BadInput(
            f"Image files have 1 or 3 channels. Found {channels} in the data card's `shape`."
        )
    return fitted(
        cropped(image.convert("RGB" if channels == 3 else "L"), (width, height)), request, where
    )


def _mask(image: Image.Image, size: tuple[int, int], where: str) -> NDArray[np.uint8]:
    if image.mode not in ("L", "P", "1"):  # the numbers themselves: never colours turned into them
        raise BadInput(
            f"The mask {where} should hold a class number of 8 bits a pixel. Found mode"
            f" {image.mode}; replace it."
        )
    numbers = Image.fromarray(np.asarray(image).astype(np.uint8))
    return np.asarray(cropped(numbers, size).resize(size, Image.Resampling.NEAREST))


def cropped(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The largest part about the image's centre that has the proportions of ``size`` (width,
    height)."""
    width, height = image.size
    wide, high = min(width, height * size[0] // size[1]), min(height, width * size[1] // size[0])
    left, top = (width - wide) // 2, (height - high) // 2
    return image if (wide, high) == image.size else image.crop((left, top, left + wide, top + high))
