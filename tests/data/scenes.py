"""Synthetic scene sets: images of one colour, which encodes the number of the image."""

import io

import numpy as np
from PIL import Image

from mtsearch.data.folds import FOLDS

FORMATS = {"png": {"format": "PNG"}, "tif": {"format": "TIFF", "compression": "packbits"}}


def picture(number, height=8, width=8, ending="png"):
    """An image whose colour encodes its number."""
    buffer = io.BytesIO()
    pixels = np.full((height, width, 3), (number // 256, number % 256, 77), np.uint8)
    Image.fromarray(pixels).save(buffer, **FORMATS[ending])
    return buffer.getvalue()


def numbers(images):
    """The numbers of images (N, 3, H, W)."""
    return (images[:, 0, 0, 0].long() * 256 + images[:, 1, 0, 0]).tolist()


def members(dataset):
    """The numbers of the images in each split."""
    return {name: set(numbers(split.images)) for name, split in dataset.splits.items()}


def counts(dataset):
    """The numbers of training, validation and test images."""
    return tuple(len(dataset.splits[name]) for name in ("train", "val", "test"))


def scene_files(card, per_class, size=8, ending="png"):
    """name -> bytes of <set>/<class>/s<n>.png, for all classes of the card's first task."""
    folder = card.source["images"]["names"][0]
    return {
        f"{folder}/{name}/s{label * per_class + place}.{ending}": picture(
            label * per_class + place, size, size, ending
        )
        for label, name in enumerate(card.tasks[0].classes)
        for place in range(per_class)
    }


def encoded(texts):
    """Texts as bytes."""
    return {name: text.encode() for name, text in texts.items()}


def csv_folds(card, files, backslash=False):
    """name -> text of the fifteen lists: training rows shuffled, the others class by class, as
    published."""
    rows = [[] for _ in range(FOLDS)]
    for number, file in enumerate(files):
        _, label, name = file.split("/")
        path = f"{label}/{name}"
        rows[number % FOLDS].append(
            (path.replace("/", "\\") if backslash else path)
            + f",{card.tasks[0].classes.index(label)}"
        )
    random, lists = np.random.RandomState(0), {}
    for fold in range(FOLDS):
        test, val = rows[fold], rows[(fold + 1) % FOLDS]
        train = [
            row
            for part in range(FOLDS)
            if part not in (fold, (fold + 1) % FOLDS)
            for row in rows[part]
        ]
        for name, part in (
            ("train", [train[i] for i in random.permutation(len(train))]),
            ("val", val),
            ("test", test),
        ):
            lists[f"{name}_fold{fold}.csv"] = "".join(f"{row}\n" for row in part)
    return lists
