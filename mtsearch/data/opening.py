"""Resolve, prepare and open the dataset of a data configuration."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput
from mtsearch.config.metrics import has_values
from mtsearch.config.schema import DataConfig
from mtsearch.data import store
from mtsearch.data.array_inputs import ArrayInputs
from mtsearch.data.builders import read_source
from mtsearch.data.building import build_store
from mtsearch.data.configured import configured_card, with_inputs, with_targets
from mtsearch.data.encoded import FILES
from mtsearch.data.formats import LabelledImages
from mtsearch.data.holding import keeps_files, streams
from mtsearch.data.locations import cache_folder, configured_root, sample_folder, store_path
from mtsearch.data.mapped import Column
from mtsearch.data.naming import dataset_label
from mtsearch.data.sources import ambiguous_raw_folder, layout_error, locate
from mtsearch.data.stored import StoredRows
from mtsearch.data.types import SPLITS, Dataset, Resolved, Split
from mtsearch.data.watching import LoggedProgress, Progress

_opened: dict[Path, tuple[dict[str, Any], dict[str, Split]]] = {}
_opening = threading.Lock()


def resolve(data: DataConfig) -> Resolved:
    """Find the dataset of a configuration, without preparing or opening it.

    The root is `data.root`, else `$MTSEARCH_DATA`, else the user's cache folder. The embedded
    sample is used only if neither of the first two is given and the cache folder lacks the dataset.
    If `data.limit` shortens a prepared dataset, the label says so.

    Raises:
        BadInput: a given root lacks the dataset.
    """
    found = _resolve(data)
    if (
        data.limit is None
        or found.checksum is None
        or data.limit >= store.read_manifest(found.store)["counts"]["train"]
    ):
        return found
    return replace(found, label=f"{found.label}, the first {data.limit:,} training images")


def _resolve(data: DataConfig) -> Resolved:
    card = configured_card(data.dataset, data)
    if card.embedded and data.root is None:
        return _at(card, data, sample_folder(), f"the installation at {sample_folder()}")
    given = configured_root(data, card)
    if given is not None:
        return _at(card, data, given[0], f"the data root `{given[1]}`")
    root = cache_folder() / "data"
    if (
        store.exists(store_path(card, data, root))
        or (root.is_dir() and not _missing(card, root))
        or card.sample is None
    ):
        return _at(card, data, root, f"the data root {root} (no `data.root` was given)")
    sample = configured_card(card.sample, data)
    found = _at(sample, data, sample_folder(), f"the installation at {sample_folder()}")
    return Resolved(
        sample,
        found.root,
        found.store,
        f"{found.label.removesuffix(')')}; used in place of {card.name})",
        found.checksum,
    )


def prepare(data: DataConfig, progress: Progress | None = None) -> Path:
    """Build the dataset's store unless it exists, and return its folder. If several processes call
    this at once, one builds the store and the others wait for it.

    An interrupted call leaves what it has written, and the next one continues from there.

    Args:
        data: the data configuration.
        progress: called with the number of images written and the number of all images; by default
            they are logged.
    """
    resolved = resolve(data)
    if resolved.checksum is None:
        with store.lock(resolved.store):
            if not store.exists(resolved.store):
                found = _find(resolved.card, resolved.root)
                chosen, _ = read_source(resolved.card).choose(found)
                build_store(resolved, chosen, data, progress or LoggedProgress())
    return resolved.store


def open_dataset(data: DataConfig) -> Dataset:
    """Open the dataset, after preparing it if necessary: load it into memory, which each process
    does once, or leave its images in the store, as `data.load` says.

    Raises:
        BadInput: the root lacks the dataset, its store is damaged, or the card's normalisation has
            changed since the store was built.
    """
    resolved = resolve(data)
    with _opening:
        known = _opened.get(resolved.store)
        if known is None:
            prepare(data)
        manifest = known[0] if known else store.read_manifest(resolved.store)
        if known is None and streams(data, manifest):
            store.verify(resolved.store, manifest, again=False)
            return _dataset(resolved, data, manifest, _streamed(resolved, manifest))
        if known is None:
            arrays = store.read(resolved.store, manifest)
            known = _opened[resolved.store] = manifest, _splits(arrays, manifest, resolved.card)
        elif data.load == "stream":
            return _dataset(resolved, data, manifest, _streamed(resolved, manifest))
    return _dataset(resolved, data, *known)


def open_labels(data: DataConfig) -> Dataset:
    """Open the dataset's labels without its images, to see which tasks label which images.

    All images, and all labels that are images, are views of one black image, which takes no memory;
    arrays are views of zeros.

    Raises:
        BadInput: as `open_dataset`.
    """
    resolved = resolve(data)
    if resolved.store in _opened:
        return open_dataset(data)
    prepare(data)
    card, manifest = resolved.card, store.read_manifest(resolved.store)
    about = manifest["arrays"]
    encoded = manifest.get("encoded", {})
    pictures = {name for name in {**about, **encoded} if name.endswith("/images")}
    pictures |= {
        f"{split}/labels/{t.name}" for split in SPLITS for t in card.tasks if has_values(t.kind)
    }
    shapes = {name: entry["shape"] for name, entry in {**about, **encoded}.items()}
    pictures = {
        name
        for name in pictures
        if name.endswith("/images") or name in encoded or np.dtype(about[name]["dtype"]) == np.uint8
    }
    if streams(data, manifest):
        store.verify(resolved.store, manifest, again=False)
        sides = _streamed(resolved, manifest)
    else:
        names = [name for name in about if name not in pictures]
        arrays = store.read(resolved.store, manifest, names)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        tensors |= {
            name: torch.zeros((), dtype=_type_of(about, name)).expand(shapes[name])
            for name in pictures
        }
        sides = _as_splits(tensors, manifest, card)
    return _dataset(resolved, data, manifest, sides)


def _type_of(about: dict[str, Any], name: str) -> torch.dtype:
    """The type of an array's rows as images: bytes for those that are kept as files."""
    dtype = np.dtype(about[name]["dtype"]) if name in about else np.dtype(np.uint8)
    return torch.from_numpy(np.empty(0, dtype)).dtype


def _streamed(resolved: Resolved, manifest: dict[str, Any]) -> dict[str, Split]:
    """The splits with images and labels of pixels in the store, and other labels in memory."""
    about = manifest["arrays"]
    large = [n for n in about if n.endswith("/images") or len(about[n]["shape"]) > 2]
    encoded = store.encoded_columns(resolved.store, manifest)
    small = [name for name in about if name not in large and not name.endswith(FILES)]
    arrays = store.read(resolved.store, manifest, small, verified=True)
    tensors: dict[str, torch.Tensor | StoredRows] = {
        name: torch.from_numpy(array) for name, array in arrays.items()
    }
    for name in large:
        count, *shape = about[name]["shape"]
        dtype = np.dtype(about[name]["dtype"])
        tensors[name] = StoredRows(Column(resolved.store, name, tuple(shape), dtype, count))
    tensors |= {column.name: StoredRows(column) for column in encoded}
    return _as_splits(tensors, manifest, resolved.card)


def _dataset(
    resolved: Resolved, data: DataConfig, manifest: dict[str, Any], splits: dict[str, Split]
) -> Dataset:
    _check_normalisation(resolved.card, resolved.store, manifest)
    whole = splits["train"].labels
    if data.limit is not None:
        counts = {
            "train": data.limit,
            "val": max(1, data.limit // 5),
            "test": max(1, data.limit // 5),
        }
        splits = {name: split.head(counts[name]) for name, split in splits.items()}
    entry = manifest.get("inputs")  # old stores have none
    inputs = None if entry is None else ArrayInputs.from_dict(entry)
    card, used = with_inputs(resolved.card, entry), _normalisation(resolved.card, manifest)
    if read_source(card).standardises:
        card = with_targets(card, whole)
    workers = 1 if data.workers is None else data.workers
    mean, std = tuple(used["mean"]), tuple(used["std"])
    return Dataset(
        card, resolved.label, dict(splits), mean, std, manifest["checksum"], workers, inputs
    )


def _at(card: DatasetCard, data: DataConfig, root: Path, where: str) -> Resolved:
    place = store_path(card, data, root)
    if store.exists(place):
        manifest = store.read_manifest(place)
        _check_normalisation(card, place, manifest)
        card = with_inputs(card, manifest.get("inputs"))
        return Resolved(card, root, place, manifest["label"], manifest["checksum"])
    source = read_source(card)
    found = _find(card, root) if root.is_dir() else dict.fromkeys(source.sources())
    chosen, missing = source.choose(found)
    if missing:
        raise BadInput(
            f"{where} contains no {' and no '.join(missing)}, which `{card.name}` is made"
            f" of{_explain(card, root, missing)}; {card.how_to_get.strip().rstrip('.')}."
        )
    if data.format == "auto" and keeps_files(card, chosen):
        place = store_path(card, data.model_copy(update={"format": "encoded"}), root)
    return Resolved(card, root, place, dataset_label(card, chosen, data.fold), None)


def _find(card: DatasetCard, root: Path) -> dict[str, LabelledImages | None]:
    return {name: locate(root, source) for name, source in read_source(card).sources().items()}


def _missing(card: DatasetCard, root: Path) -> list[str]:
    return read_source(card).choose(_find(card, root))[1]


def _explain(card: DatasetCard, root: Path, missing: list[str]) -> str:
    """Why files below the root are not the missing set, as a clause."""
    for source in read_source(card).sources().values() if root.is_dir() else ():
        if not any(source.title in title for title in missing):
            continue
        if found := ambiguous_raw_folder(root, source):
            return (
                f", as {found} may be of any set while the folder around it is not called"
                f" {source.names[0]}"
            )
        if clause := layout_error(root, source):
            return f" ({clause})"
    return ""


def _normalisation(card: DatasetCard, manifest: dict[str, Any]) -> dict[str, list[float]]:
    """The card's mean and std, or those of the training images, in which a constant channel is not
    scaled."""
    if card.mean:
        return {"mean": list(card.mean), "std": list(card.std)}
    found = manifest["statistics"]
    return {"mean": found["mean"], "std": [value or 1.0 for value in found["std"]]}


def _check_normalisation(card: DatasetCard, place: Path, manifest: dict[str, Any]) -> None:
    # The checksum covers the arrays only. Another normalisation would silently change a model's
    # inputs. Manifests of old stores have no normalisation.
    given = {"mean": list(card.mean), "std": list(card.std)}
    built_for = manifest.get("normalisation", given)
    if built_for != given:
        raise BadInput(
            f"The data card of `{card.name}` gives mean {list(card.mean)} and std {list(card.std)},"
            f" but its store was built for {built_for}; restore the old values, or delete the"
            f" folder {place} and prepare the dataset again."
        )


def _splits(
    arrays: dict[str, NDArray[Any]], manifest: dict[str, Any], card: DatasetCard
) -> dict[str, Split]:
    """The splits, with images in channels-last memory format, so that channels-last batches of all
    trials are views, not copies."""
    tensors: dict[str, torch.Tensor | StoredRows] = {}
    for name, array in arrays.items():
        images = name.endswith("/images") and array.dtype == np.uint8
        tensor = torch.from_numpy(array)
        tensors[name] = tensor.contiguous(memory_format=torch.channels_last) if images else tensor
    return _as_splits(tensors, manifest, card)


def _as_splits(
    tensors: Mapping[str, torch.Tensor | StoredRows], manifest: dict[str, Any], card: DatasetCard
) -> dict[str, Split]:
    # Masks are stored as small integers. Images as labels are also bytes and stay so.
    masks = [
        f"{name}/labels/{task.name}"
        for name in SPLITS
        for task in card.tasks
        if not has_values(task.kind)
    ]
    small = [name for name in masks if tensors[name].dtype in (torch.uint8, torch.int16)]
    tensors = {**tensors, **{name: _long(tensors[name]) for name in small}}
    # Manifests of old stores have no members.
    members = manifest.get("members", {})
    return {
        name: Split(
            tensors[f"{name}/images"],
            {task.name: tensors[f"{name}/labels/{task.name}"] for task in card.tasks},
            tuple(members.get(name, ())),
        )
        for name in SPLITS
    }


def _long(labels: torch.Tensor | StoredRows) -> torch.Tensor | StoredRows:
    if isinstance(labels, StoredRows):
        return StoredRows(labels.column, whole=True)
    return labels.long()
