"""Building a dataset's store."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import PIL
from numpy.typing import NDArray

from mtsearch.config.errors import BadInput, Halt
from mtsearch.config.schema import DataConfig
from mtsearch.data import store
from mtsearch.data.builders import DatasetBuilder, SplitSpec, read_source
from mtsearch.data.configured import with_inputs
from mtsearch.data.formats import LabelledImages
from mtsearch.data.formats.pictures import common_decoder
from mtsearch.data.inventory import files_read, inventories
from mtsearch.data.locations import ENCODED, recipe
from mtsearch.data.naming import dataset_label, source_titles
from mtsearch.data.remarks import collect_remarks
from mtsearch.data.rows import FileRows
from mtsearch.data.summary import files_left_out
from mtsearch.data.types import SPLITS, Resolved
from mtsearch.data.watching import Progress, SplitWatch

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def build_store(
    resolved: Resolved,
    found: dict[str, LabelledImages],
    data: DataConfig,
    progress: Progress | None = None,
) -> None:
    """Build the splits of a dataset and write them to its store.

    Args:
        resolved: the dataset and the path of its store, whose lock the caller holds.
        found: the image sets to use, by field of the card's source.
        data: the configuration of the splits.
        progress: called with the number of images written and of all images.

    Raises:
        BadInput: the files do not fit the card.
        Halt: the store cannot be written, as when the disk is full; nothing of it is left.
    """
    card, root = resolved.card, resolved.root
    builder = read_source(card)
    made_of = recipe(card, data)
    spec = SplitSpec(made_of["split_seed"], made_of["val_fraction"], data.fold)
    titles = source_titles(card, found)
    manifest: dict[str, Any] = {
        "dataset": card.name,
        "title": card.title,
        "label": dataset_label(card, found, data.fold),
        "licence": card.licence,
        "sources": {
            name: {
                "title": titles[name],
                "place": images.tree.path.relative_to(root).as_posix(),
                "format": images.name,
                "official_order": images.ordered,
                "made_of": inventories(builder, name, images, data.fold),
                "left_out": _left_out(builder, name, images, data.fold),
            }
            for name, images in found.items()
        },
        "recipe": made_of,
        "normalisation": {"mean": list(card.mean), "std": list(card.std)},
    }
    with collect_remarks() as remarks:
        splits = builder.compose(card, found, spec)
        card = with_inputs(card, splits["train"].inputs)
        manifest["inputs"] = splits["train"].inputs
        watch = SplitWatch(card, splits, remarks, progress)
        arrays: dict[str, NDArray[Any] | FileRows] = {}
        for name in SPLITS:
            arrays[f"{name}/images"] = splits[name].images
            for task, labels in zip(card.tasks, splits[name].labels, strict=True):
                arrays[f"{name}/labels/{task.name}"] = labels
        manifest["counts"] = {name: len(splits[name].images) for name in SPLITS}
        manifest["members"] = {name: list(splits[name].members) for name in SPLITS}
        del splits
        try:
            files = _kept_files(resolved, arrays, data)
            identity = "" if files else _identity(manifest)
            _check_disk(resolved, arrays, files, manifest)
            store.build(resolved.store, arrays, manifest, identity, watch, files)
        except OSError as error:
            size = sum(array.nbytes for array in arrays.values()) / 1e6
            raise Halt(
                f"The store of `{card.name}`, about {size:,.0f} MB, cannot be written to"
                f" {resolved.store.parent} ({error.strerror or error}); free space there, or give"
                " another folder as `data.store=DIR`."
            ) from error


def _check_disk(
    resolved: Resolved,
    arrays: dict[str, NDArray[Any] | FileRows],
    files: dict[str, dict[str, Any]],
    manifest: dict[str, Any],
) -> None:
    """Raise `Halt` before any work if the disk has no room for the store."""
    size = sum(array.nbytes for name, array in arrays.items() if name not in files)
    if files:
        parts = [part for source in manifest["sources"].values() for part in source["made_of"]]
        size += sum(part["bytes"] for part in parts)
    free = shutil.disk_usage(resolved.store.parent).free
    if size > free:
        raise Halt(
            f"The store of `{resolved.card.name}` needs about {size / 1e9:,.1f} GB, but"
            f" {resolved.store.parent} has {free / 1e9:,.1f} GB free; set `data.format=encoded`, a"
            " smaller `data.size`, or another folder as `data.store=DIR`."
        )


def _kept_files(
    resolved: Resolved, arrays: dict[str, NDArray[Any] | FileRows], data: DataConfig
) -> dict[str, dict[str, Any]]:
    """The arrays whose image files the store keeps, with the settings of their decoder."""
    if not resolved.store.name.endswith(ENCODED):
        return {}
    images = {name: common_decoder(rows) for name, rows in arrays.items() if "/images" in name}
    decoders = {name: decoder.settings() for name, decoder in images.items() if decoder}
    if len(decoders) == len(images):
        return decoders
    if data.format == "encoded":
        raise BadInput(
            f"`data.format` should be auto or arrays with `{resolved.card.name}`, whose images are"
            " not image files read in one way. Found encoded."
        )
    return {}


def _identity(manifest: dict[str, Any]) -> str:
    """A hash of everything that the arrays are made from: the recipe, the files, and the version
    of the library that decodes them; and of the machine's last start."""
    made_of = [manifest["recipe"], manifest["sources"], manifest["counts"], PIL.__version__]
    if _BOOT.exists():  # a restart of the machine may lose what was not yet on the disk
        made_of.append(_BOOT.read_text(encoding="ascii"))
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def _left_out(
    builder: DatasetBuilder, name: str, images: LabelledImages, fold: int | None
) -> list[dict[str, str | int]]:
    if getattr(images.tree, "shallow", False):  # other files of a data root belong to other sets
        return []
    read = [
        file
        for tree, files in files_read(builder, name, images, fold)
        if tree.path == images.tree.path
        for file in files
    ]
    return files_left_out(images.tree, read)
