"""What a column of a table that names files is taken for."""

from __future__ import annotations

import posixpath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.errors import BadInput
from mtsearch.data.decoding import is_image, open_image
from mtsearch.data.npy import is_npy, read_npy
from mtsearch.data.trees import Tree

MASK_CLASSES = 256
MANY_CLASSES = 100  # a grey image with larger numbers is no mask
FEW_COLOURS = 256  # an image in colours with more is no mask


def file_task(
    named: dict[str, Any],
    column: str,
    cells: list[str],
    tree: Tree,
    folder: str,
    notes: list[str],
) -> dict[str, Any] | None:
    """The task of a column of which most filled cells name files of the tree; else None.

    Args:
        named: the task's name, and the column where it differs.
        column: the column.
        cells: of the column.
        tree: the folder or archive of the table.
        folder: of the table in the tree.
        notes: sentences about what was found, to which one is added.
    """
    known = {
        posixpath.normpath(name): name
        for name in tree.files
        if is_image(name) or name.lower().endswith(".npy")
    }
    paths = [
        posixpath.normpath(posixpath.join(folder, cell.replace("\\", "/")))
        for cell in cells
        if cell
    ]
    files = [known[path] for path in paths if path in known]
    if 2 * len(files) <= len(paths):
        return None
    gaps = len(cells) - len(paths)
    missing = f", {100 * gaps / len(cells):.0f} % missing" if gaps else ""
    task, what = _taken_for(column, tree, files)
    notes.append(f"{column}: {what}{missing}")
    return {**named, **task}


def _taken_for(column: str, tree: Tree, files: list[str]) -> tuple[dict[str, Any], str]:
    """The settings of the task of these files, and what they were taken for in words."""
    largest, number, pictures = 0, 0, False
    for name, content in tree.read_many(files):
        try:
            array, lossy = _array(content, name)
        except BadInput:
            continue
        if array.ndim == 3 and 1 not in array.shape:
            return _of_vectors(column, array, name)
        whole = array.dtype.kind in "uib"
        if array.dtype == np.uint16 or not whole or "depth" in column.lower():
            return {"kind": "depth"}, "depth, in the unit of the files; `scale` multiplies them"
        pictures |= lossy
        largest, number = max(largest, int(array.max(initial=0))), number + 1
    if not number:
        raise BadInput(f"None of the files of column `{column}` in {tree.path} can be read.")
    settings: dict[str, Any] = {"kind": "segmentation"}
    if largest == MASK_CLASSES - 1:
        settings["ignore"] = largest
        largest = max(1, _second_largest(tree, files))
    if largest >= MANY_CLASSES or pictures:
        return {"kind": "restoration", "outputs": 1}, "restoration, target images"
    settings["outputs"] = largest + 1
    ignored = f"; {settings['ignore']} is no label" if "ignore" in settings else ""
    return settings, f"segmentation, classes 0..{largest} in the masks{ignored}"


def _of_vectors(column: str, array: NDArray[Any], name: str) -> tuple[dict[str, Any], str]:
    if array.dtype.kind == "f" or "norm" in column.lower():
        return {"kind": "normals"}, "normals"
    colours = len(np.unique(array.reshape(-1, array.shape[-1]), axis=0))
    more = (
        f"; {name} has {colours} colours: write `kind: segmentation` with `colours` for masks"
        if colours <= FEW_COLOURS
        else ""
    )
    settings = {"kind": "restoration", "outputs": int(array.shape[-1])}
    return settings, f"restoration, target images{more}"


def _array(content: bytes, name: str) -> tuple[NDArray[Any], bool]:
    """The numbers of a file, and whether it is a JPEG, whose numbers are no classes."""
    if is_npy(content):
        return read_npy(content, name), False
    image = open_image(content, name).image
    if image.mode in ("RGBA", "CMYK", "LA", "PA"):
        image = image.convert("RGB")
    array = np.asarray(image)
    if image.mode.startswith("I"):
        array = array.astype(np.uint16)
    return array, image.format in ("JPEG", "MPO")


def _second_largest(tree: Tree, files: list[str]) -> int:
    found = 0
    for name, content in tree.read_many(files):
        try:
            array, _ = _array(content, name)
        except BadInput:
            continue
        found = max(found, int(array[array < MASK_CLASSES - 1].max(initial=0)))
    return found
