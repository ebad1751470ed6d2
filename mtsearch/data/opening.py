"""From a data configuration to a dataset in memory: resolve, prepare, open."""

from __future__ import annotations

import threading
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
from mtsearch.data.builders import SplitArrays, SplitSpec, check_classes, read_source
from mtsearch.data.configured import configured_card
from mtsearch.data.folds import fold_lists
from mtsearch.data.formats import LabelledImages
from mtsearch.data.inventory import inventories
from mtsearch.data.locations import cache_folder, configured_root, recipe, sample_folder, store_path
from mtsearch.data.sources import locate, unclaimed
from mtsearch.data.types import SPLITS, Dataset, Resolved, Split

_opened: dict[Path, tuple[dict[str, Any], dict[str, Split]]] = {}
_opening = threading.Lock()


def resolve(data: DataConfig) -> Resolved:
    """Which dataset the configuration means and where it is, without preparing or opening it.

    The root is `data.root`, else `$MTSEARCH_DATA`, else the user's cache folder. The embedded
    sample stands in only when neither of the first two is given and the dataset is not in the
    third. The label names `data.limit` where it leaves something out of a dataset that is prepared.
    Raises `BadInput` when a given root lacks the dataset.
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
    given = configured_root(data)
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
        f"{found.label.removesuffix(')')}; stands in for {card.name})",
        found.checksum,
    )


def prepare(data: DataConfig) -> Path:
    """Build the dataset's store unless it exists, and return its folder. However many processes ask
    at once, one builds and the others wait for it."""
    resolved = resolve(data)
    if resolved.checksum is None:
        with store.lock(resolved.store):
            if not store.exists(resolved.store):
                _build(resolved, data)
    return resolved.store


def open_dataset(data: DataConfig) -> Dataset:
    """The dataset, whole, in memory; prepared first if need be. Opened once per process.

    Raises `BadInput` when the root lacks the dataset, its store is damaged, or the card normalises
    otherwise than when that was built.
    """
    resolved = resolve(data)
    with _opening:
        if resolved.store not in _opened:
            prepare(data)
            manifest = store.read_manifest(resolved.store)
            _opened[resolved.store] = (
                manifest,
                _splits(store.read(resolved.store, manifest), manifest, resolved.card),
            )
        manifest, splits = _opened[resolved.store]
    return _dataset(resolved, data, manifest, splits)


def open_labels(data: DataConfig) -> Dataset:
    """The dataset with its labels, and with one black picture for all its images and all labels
    that are pictures, which takes no room: enough to see which tasks have which images. Raises
    `BadInput` as `open_dataset` does."""
    resolved = resolve(data)
    if resolved.store in _opened:
        return open_dataset(data)
    prepare(data)
    card, manifest = resolved.card, store.read_manifest(resolved.store)
    about = manifest["arrays"]
    pictures = {name for name in about if name.endswith("/images")}
    pictures |= {
        f"{split}/labels/{t.name}" for split in SPLITS for t in card.tasks if has_values(t.kind)
    }
    pictures = {name for name in pictures if np.dtype(about[name]["dtype"]) == np.uint8}
    arrays = store.read(resolved.store, manifest, [name for name in about if name not in pictures])
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    tensors |= {
        name: torch.zeros((), dtype=torch.uint8).expand(about[name]["shape"]) for name in pictures
    }
    return _dataset(resolved, data, manifest, _sides(tensors, manifest, card))


def _dataset(
    resolved: Resolved, data: DataConfig, manifest: dict[str, Any], splits: dict[str, Split]
) -> Dataset:
    _check_normalisation(resolved.card, resolved.store, manifest)
    if data.limit is not None:
        counts = {
            "train": data.limit,
            "val": max(1, data.limit // 5),
            "test": max(1, data.limit // 5),
        }
        splits = {name: split.head(counts[name]) for name, split in splits.items()}
    card = resolved.card
    return Dataset(card, resolved.label, dict(splits), card.mean, card.std, manifest["checksum"])


def _at(card: DatasetCard, data: DataConfig, root: Path, where: str) -> Resolved:
    place = store_path(card, data, root)
    if store.exists(place):
        manifest = store.read_manifest(place)
        _check_normalisation(card, place, manifest)
        return Resolved(card, root, place, manifest["label"], manifest["checksum"])
    source = read_source(card)
    found = _find(card, root) if root.is_dir() else dict.fromkeys(source.sources())
    chosen, missing = source.choose(found)
    if missing:
        raise BadInput(
            f"{where} holds no {' and no '.join(missing)}, which `{card.name}` is made"
            f" of{_unclaimed(card, root, missing)}; {card.how_to_get.strip().rstrip('.')}."
        )
    return Resolved(card, root, place, _label(card, chosen, data.fold), None)


def _find(card: DatasetCard, root: Path) -> dict[str, LabelledImages | None]:
    return {name: locate(root, source) for name, source in read_source(card).sources().items()}


def _missing(card: DatasetCard, root: Path) -> list[str]:
    return read_source(card).choose(_find(card, root))[1]


def _unclaimed(card: DatasetCard, root: Path, missing: list[str]) -> str:
    for source in read_source(card).sources().values() if root.is_dir() else ():
        if any(source.title in title for title in missing) and (found := unclaimed(root, source)):
            return (
                f", as {found} may be of any set while the folder around it is not called"
                f" {source.names[0]}"
            )
    return ""


def _titles(card: DatasetCard, found: dict[str, LabelledImages]) -> dict[str, str]:
    sources = read_source(card).sources()
    return {
        name: sources[name].title + (" (JPEG)" if images.lossy and sources[name].lossless else "")
        for name, images in found.items()
    }


def _label(card: DatasetCard, found: dict[str, LabelledImages], fold: int | None) -> str:
    part = "" if fold is None else f", fold {fold} {_fold_of(card, found)}"
    titles = " and ".join(dict.fromkeys(_titles(card, found).values()))
    if card.embedded:
        return f"{card.name} (embedded sample{'' if found else ', procedural'}{part})"
    return f"{card.name}{f' from {titles}' if titles else ''}{part}"


def _fold_of(card: DatasetCard, found: dict[str, LabelledImages]) -> str:
    sources = read_source(card).sources()
    lists = [
        fold_lists(images, sources[name]) for name, images in found.items() if sources[name].folds
    ] or [None]
    return " and ".join(
        dict.fromkeys(
            f"as listed in {where.path.name}" if where else "of a seeded rotation"
            for where in lists
        )
    )


def _build(resolved: Resolved, data: DataConfig) -> None:
    card, root = resolved.card, resolved.root
    source = read_source(card)
    found, _ = source.choose(_find(card, root))
    made_of = recipe(card, data)
    sides = source.compose(
        card, found, SplitSpec(made_of["split_seed"], made_of["val_fraction"], data.fold)
    )
    arrays: store.Arrays = {}
    for name in SPLITS:
        _check(card, name, sides[name])
        arrays[f"{name}/images"] = sides[name].images
        arrays |= {
            f"{name}/labels/{task.name}": labels
            for task, labels in zip(card.tasks, sides[name].labels, strict=True)
        }
    titles = _titles(card, found)
    sources = {
        name: {
            "title": titles[name],
            "place": _place(images.tree.path, root),
            "format": images.name,
            "official_order": images.ordered,
            "made_of": inventories(source, name, images, data.fold),
        }
        for name, images in found.items()
    }
    mean, std = statistics(sides["train"].images)
    manifest = {
        "dataset": card.name,
        "title": card.title,
        "label": _label(card, found, data.fold),
        "licence": card.licence,
        "sources": sources,
        "recipe": made_of,
        "counts": {name: len(sides[name].images) for name in SPLITS},
        "members": {name: list(sides[name].members) for name in SPLITS},
        "statistics": {"mean": mean, "std": std},
        "normalisation": _normalisation(card),
    }
    store.build(resolved.store, arrays, manifest)


def _normalisation(card: DatasetCard) -> dict[str, list[float]]:
    return {"mean": list(card.mean), "std": list(card.std)}


def _check_normalisation(card: DatasetCard, place: Path, manifest: dict[str, Any]) -> None:
    # Not part of the arrays, so not of the checksum either; a model trained with other values would
    # be fed other inputs without a word.
    built_for = manifest.get(
        "normalisation", _normalisation(card)
    )  # stores of before it was written down have none
    if built_for != _normalisation(card):
        raise BadInput(
            f"The data card of `{card.name}` gives mean {list(card.mean)} and std {list(card.std)},"
            f" but its store was built for {built_for}; give the card its old values, or delete the"
            f" folder {place} and prepare the dataset again."
        )


def _place(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _check(card: DatasetCard, name: str, side: SplitArrays) -> None:
    if not len(side.images) or side.images.shape[1:] != card.shape:
        raise BadInput(
            f"The {name} split of `{card.name}` should hold images of shape {card.shape}. Found"
            f" {side.images.shape}; mend the data card."
        )
    for task, labels in zip(card.tasks, side.labels, strict=True):
        if (
            labels.dtype == np.uint8
            and has_values(task.kind)
            and labels.shape[1:] != (task.outputs, *card.shape[1:])
        ):
            raise BadInput(
                f"The pictures that task `{task.name}` of `{card.name}` restores should have shape"
                f" {(task.outputs, *card.shape[1:])}, as large as the images. Found"
                f" {labels.shape[1:]} in {name}; mend the data card."
            )
        check_classes(card, task, labels, name)


def statistics(images: NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel of images (N, C, H, W), as pixels in [0, 1], to 4
    digits."""
    values = np.arange(256) / 255
    mean, std = [], []
    for channel in range(images.shape[1]):
        share = np.bincount(images[:, channel].reshape(-1), minlength=256) / images[:, channel].size
        average = float(share @ values)
        mean.append(round(average, 4))
        std.append(round(float(share @ (values - average) ** 2) ** 0.5, 4))
    return mean, std


def _splits(
    arrays: dict[str, NDArray[Any]], manifest: dict[str, Any], card: DatasetCard
) -> dict[str, Split]:
    """The splits, their images channels-last in memory: then every trial's channels-last batches
    are views of them, not copies."""
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    for name in SPLITS:
        tensors[f"{name}/images"] = tensors[f"{name}/images"].contiguous(
            memory_format=torch.channels_last
        )
    return _sides(tensors, manifest, card)


def _sides(
    tensors: dict[str, torch.Tensor], manifest: dict[str, Any], card: DatasetCard
) -> dict[str, Split]:
    # Masks are stored in bytes; so are pictures, which stay so.
    masks = [
        f"{name}/labels/{task.name}"
        for name in SPLITS
        for task in card.tasks
        if not has_values(task.kind)
    ]
    tensors |= {name: tensors[name].long() for name in masks if tensors[name].dtype == torch.uint8}
    members = manifest.get(
        "members", {}
    )  # stores of before there were sets of several members have none
    return {
        name: Split(
            tensors[f"{name}/images"],
            {task.name: tensors[f"{name}/labels/{task.name}"] for task in card.tasks},
            tuple(members.get(name, ())),
        )
        for name in SPLITS
    }
