"""Statistics of a dataset for its manifest: label counts, files left out, and pixel statistics."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.cards import TaskCard
from mtsearch.config.metrics import has_values
from mtsearch.data.decoding import is_image
from mtsearch.data.remarks import Remarks
from mtsearch.data.trees import Tree


def count_labels(task: TaskCard, labels: NDArray[Any]) -> dict[str, Any]:
    """The number of labels of a task, of missing ones, and of each class.

    Labels are counted per image, those of segmentations per pixel; labels that are values have no
    classes.
    """
    if np.issubdtype(labels.dtype, np.floating):
        missing = int(np.isnan(labels).sum())
        return {"labels": labels.size - missing, "missing": missing}
    if has_values(task.kind):  # images as labels, which are never missing
        return {"labels": len(labels), "missing": 0}
    known = labels[labels != task.ignore]
    counts = np.bincount(known.reshape(-1), minlength=task.outputs)
    return {
        "labels": int(known.size),
        "missing": int(labels.size - known.size),
        "classes": counts.tolist(),
    }


def no_counts(task: TaskCard, dtype: np.dtype[Any]) -> dict[str, Any]:
    """The counts of no labels."""
    return count_labels(task, np.zeros(0, dtype))


def add_counts(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The counts of two parts together."""
    return {
        name: (
            [a + b for a, b in zip(value, other[name], strict=True)]
            if isinstance(value, list)
            else value + other[name]
        )
        for name, value in one.items()
    }


def files_left_out(tree: Tree, read: Iterable[str]) -> list[dict[str, str | int]]:
    """The files of a tree that are not read, counted by the reason, each with an example."""
    left_out = Remarks()
    kept = {posixpath.normpath(name) for name in read}
    for name in tree.files:
        if posixpath.normpath(name) not in kept:
            left_out.add(_reason(name), name)
    for name in tree.hidden:
        left_out.add("hidden files or files of an operating system", name)
    return left_out.rows()


def _reason(name: str) -> str:
    ending = posixpath.splitext(name)[1].lower()
    if is_image(name):
        return f"`{ending}` files in places that are not read"
    return f"`{ending}` files, which are not images" if ending else "files without an ending"


def pixel_statistics(counts: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel, as pixels in [0, 1], rounded to 4 digits, from the
    result of `count_pixels`."""
    values = np.arange(256) / 255
    mean, std = [], []
    for channel in counts:
        share = channel / channel.sum()
        average = float(share @ values)
        mean.append(round(average, 4))
        std.append(round(float(share @ (values - average) ** 2) ** 0.5, 4))
    return mean, std
