"""Where datasets are searched and where their stores are written."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import platformdirs

from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput
from mtsearch.config.plugins import code_of
from mtsearch.config.schema import DataConfig
from mtsearch.data import store
from mtsearch.data.builders import read_source
from mtsearch.data.cards import datasets_folder

VARIABLE = "MTSEARCH_DATA"
ENCODED = "-encoded"  # end of the name of a store that keeps image files
DECODING = 2  # version of image decoding; stores of earlier versions are rebuilt


def cache_folder() -> Path:
    """The user's cache folder for this project."""
    return platformdirs.user_cache_path("mtsearch", appauthor=False)


def configured_root(data: DataConfig, card: DatasetCard) -> tuple[Path, str] | None:
    """The data root given by `data.root`, by the card or by the environment, and which of these
    gave it.

    Raises:
        BadInput: it is not a folder.
    """
    variable = os.environ.get(VARIABLE)
    if data.root is not None:
        path, how = data.root, f"data.root={data.root}"
    elif card.root is not None:
        path, how = card.root, f"root: {card.root}"
    elif variable:
        path, how = Path(variable), f"{VARIABLE}={variable}"
    else:
        return None
    path = path.expanduser().resolve()
    if not path.is_dir():
        raise BadInput(
            f"`{how}` should be a folder that contains the data. Found"
            f" {'a file' if path.exists() else 'nothing'} there; give another one."
        )
    return path, how


def sample_folder() -> Path:
    """The folder of the embedded sample."""
    return datasets_folder() / "sample"


_READING: dict[str, Any] = {"colours": [], "ignore_colour": None, "scale": 1.0}
"""Settings of tasks that say how files of labels are read, with their defaults."""


def recipe(card: DatasetCard, data: DataConfig) -> dict[str, Any]:
    """Everything except the files that determines a store's content."""
    shown = card.model_dump(mode="json")
    source = read_source(card)
    others, code = source.ingredients(), code_of(type(source))
    return {
        "schema": store.SCHEMA,
        **{key: shown[key] for key in ("name", "source", "shape")},
        # Training settings of a task do not change what is stored.
        "tasks": [
            {key: task[key] for key in ("name", "kind", "outputs", "classes", "ignore")}
            | (
                {}
                if task["undefined"] in (None, task["ignore"])
                else {"undefined": task["undefined"]}
            )
            | ({} if task["column"] is None else {"column": task["column"]})
            | {key: task[key] for key, usual in _READING.items() if task[key] != usual}
            for task in shown["tasks"]
        ],
        "split_seed": data.split_seed,
        "val_fraction": data.val_fraction or card.val_fraction,
        **({"decoding": DECODING} if source.sources() else {}),
        **({"ingredients": others} if others else {}),
        # A changed builder of a plug-in builds the store again.
        **({"code": code} if code else {}),
        **({} if data.fold is None else {"fold": data.fold}),
    }


def store_candidates(card: DatasetCard, data: DataConfig, root: Path) -> list[Path]:
    """Where this dataset's store may be, in order of preference: below `data.store` if given, else
    below the root, else below the cache folder under a name derived from the root's path."""
    made_of = recipe(card, data)
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:8]
    part = f"val{made_of['val_fraction']:g}" if data.fold is None else f"fold{data.fold}"
    leaf = f"seed{made_of['split_seed']}-{part}-{digest}"
    if data.format == "auto":  # one of either format serves, as both give the same images
        formats = (data.model_copy(update={"format": name}) for name in ("arrays", "encoded"))
        return [place for each in formats for place in store_candidates(card, each, root)]
    leaf += ENCODED if data.format == "encoded" else ""
    if data.store is not None:
        return [data.store.expanduser().resolve() / card.name / leaf]
    cached = (
        cache_folder()
        / "stores"
        / f"{card.name}-{hashlib.sha256(str(root).encode()).hexdigest()[:8]}"
        / leaf
    )
    # The sample is part of the program, whose folder is not written to even if it is writable.
    return [cached] if root == sample_folder() else [root / "mtsearch" / card.name / leaf, cached]


def store_path(card: DatasetCard, data: DataConfig, root: Path) -> Path:
    """Where this dataset's store is or will be built: the first candidate that has it, else the
    first that is writable."""
    places = store_candidates(card, data, root)
    chosen = next((place for place in places if store.exists(place)), None) or next(
        (place for place in places if writable(place)), None
    )
    if chosen is None:
        raise BadInput(
            f"The store of `{card.name}` cannot be written to {places[-1]}; give a folder that can"
            " be written as `data.store=DIR`."
        )
    return chosen


def writable(path: Path) -> bool:
    """Whether a path can be created. A folder without any write bit counts as read-only even for
    the superuser, who could write to it."""
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    return (
        existing.is_dir() and bool(existing.stat().st_mode & 0o222) and os.access(existing, os.W_OK)
    )
