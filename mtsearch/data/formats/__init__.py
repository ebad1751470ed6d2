"""The formats that labelled images are found in. Importing this package registers them."""

from mtsearch.data.formats import (
    array_folders,
    cifar10_batches,
    class_folders,
    idx,
    json_lists,
    mask_folders,
    unsorted_files,
)
from mtsearch.data.formats.base import (
    FORMATS,
    ImageSet,
    LabelledImages,
    Request,
    find_images,
    image_format,
)

__all__ = [
    "FORMATS",
    "ImageSet",
    "LabelledImages",
    "Request",
    "array_folders",
    "cifar10_batches",
    "class_folders",
    "find_images",
    "idx",
    "image_format",
    "json_lists",
    "mask_folders",
    "unsorted_files",
]
