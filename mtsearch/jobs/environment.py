"""What a run was made with: the dataset really used, versions, cores. No host names, no absolute
paths."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import mtsearch
from mtsearch.config.errors import BadInput
from mtsearch.config.plugins import checksums
from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space

_PACKAGES = ("torch", "torchvision", "ray", "optuna", "numpy", "scipy")


def environment_of(space: Space, only: str | None = None) -> tuple[DataConfig, dict[str, Any]]:
    """Find and prepare the data, hold the space and its trials against them, and describe both.
    Raises BadInput before any work.

    `only`: the one configuration that is to be trained, ``trial`` or ``controls.NAME``; None for a
    search.
    """
    data, facts = _data(space, only)
    return data, {
        "mtsearch": mtsearch.__version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        **({"plugins": checksums(space.config.plugins)} if space.config.plugins else {}),
        **facts,
    }


def check_plugins(space: Space, environment: Mapping[str, Any]) -> None:
    """Raises BadInput when a plug-in is another than the run began with: finished trials and new
    ones would not be one search."""
    began = environment.get("plugins", {})
    for name, checksum in checksums(space.config.plugins).items():
        if began.get(name, checksum) != checksum:
            raise BadInput(
                f"the plug-in {name} is not the one that the run began with. Put that one back, or"
                " start a new run."
            )


def concrete_data(
    space: Space, environment: Mapping[str, Any], only: str | None = None
) -> DataConfig:
    """Where this machine has the data of a run; `only` as above. Raises BadInput when they are
    others than the run began with."""
    data, facts = _data(space, only, begun=True)
    if facts["checksum"] != environment["checksum"]:
        raise BadInput(
            f"the run was made on {environment['dataset']} with checksum"
            f" {str(environment['checksum'])[:12]}, but here is {facts['dataset']} with"
            f" {str(facts['checksum'])[:12]}. Give it the same data."
        )
    return data


def _data(
    space: Space, only: str | None = None, *, begun: bool = False
) -> tuple[DataConfig, dict[str, Any]]:
    from mtsearch.data import check_sources, open_labels, prepare, resolve  # imports torch
    from mtsearch.jobs.checks import check_trials

    config = space.config.data
    found = resolve(config)
    check_sources(found, begun=begun)
    space.check(found.card)
    check_trials(space, config, found.card, only=only)
    prepare(config)
    found = resolve(config)
    check_trials(space, config, found.card, open_labels(config), only=only)
    place: dict[str, Any] = {
        "root": found.root if found.root.is_dir() else None
    }  # none where nothing is read of it
    if found.card.embedded:
        own = config.dataset.endswith(
            (".yaml", ".yml")
        )  # the card of a plug-in, else a shipped one or its stand-in
        place = {"dataset": config.dataset if own else found.card.name, "root": None}
    facts = {
        "dataset": found.label,
        "checksum": found.checksum,
        "tasks": {task.name: task.kind for task in found.card.tasks},
    }
    return (
        config.model_copy(
            update={**place, "store": config.store.resolve() if config.store else None}
        ),
        facts,
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
