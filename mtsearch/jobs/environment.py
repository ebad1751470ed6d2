"""What a run was made with: the dataset actually used, versions, cores. No host names, no absolute
paths."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mtsearch
from mtsearch.config.errors import BadInput
from mtsearch.config.plugins import checksums
from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space

_PACKAGES = ("torch", "torchvision", "ray", "optuna", "numpy", "scipy")


def environment_of(space: Space, only: str | None = None) -> tuple[DataConfig, dict[str, Any]]:
    """Find and prepare the data, check the space and its trials against them, and describe both.

    Args:
        space: the search space.
        only: the one configuration to train, ``trial`` or ``controls.NAME``; None for a search.

    Returns:
        The data settings with concrete paths, and the content of `environment.json`.

    Raises:
        BadInput: before any work, if the data are missing or a trial cannot be trained.
    """
    data, facts = _data(space, only)
    return data, {
        "mtsearch": mtsearch.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        **({"plugins": checksums(space.config.plugins)} if space.config.plugins else {}),
        **facts,
    }


def check_plugins(space: Space, environment: Mapping[str, Any]) -> None:
    """Raise BadInput if a plug-in differs from the one that the run started with, because finished
    and new trials would not be comparable."""
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
    """The data settings of a run with paths on this machine; `only` as for `environment_of`. Raises
    BadInput if the data differ from those that the run started with, or regressions were trained
    on plain targets."""
    data, facts = _data(space, only, resuming=True)
    if facts["checksum"] != environment["checksum"]:
        raise BadInput(
            f"the run was made on {environment['dataset']} with checksum"
            f" {str(environment['checksum'])[:12]}, but {facts['dataset']} with"
            f" {str(facts['checksum'])[:12]} was found here. Give it the same data."
        )
    if facts.get("targets") != environment.get("targets"):
        raise BadInput(
            "the run was begun by an older mtsearch, which trained regressions on plain targets"
            f" (`targets` of environment.json is {environment.get('targets')}), so that losses of"
            " further trials would not be comparable. Resume it with the older version, or start a"
            " new run."
        )
    return data


def _data(
    space: Space, only: str | None = None, *, resuming: bool = False
) -> tuple[DataConfig, dict[str, Any]]:
    from mtsearch.data import check_sources, open_labels, prepare, resolve  # imports torch
    from mtsearch.data.builders import read_source
    from mtsearch.jobs.checks import check_trials

    config = space.config.data
    found = resolve(config)
    check_sources(found, resuming=resuming)
    space.check(found.card)
    # networks cannot be built for arrays before their shape is known
    if found.checksum is not None or not read_source(found.card).reads_shape:
        check_trials(space, config, found.card, only=only)
    prepare(config)
    found = resolve(config)
    check_trials(space, config, found.card, open_labels(config), only=only)
    # None if nothing is read from the root.
    place: dict[str, Any] = {"root": found.root if found.root.is_dir() else None}
    if found.card.embedded:
        # A path is the card of a plug-in or user; a name is a shipped dataset or its replacement.
        own = config.dataset.endswith((".yaml", ".yml"))
        place = {"dataset": config.dataset if own else found.card.name, "root": None}
    facts: dict[str, Any] = {
        "dataset": found.label,
        "checksum": found.checksum,
        "tasks": {task.name: task.kind for task in found.card.tasks},
    }
    if read_source(found.card).standardises and "regression" in facts["tasks"].values():
        facts["targets"] = "standardised"
    return (
        config.model_copy(
            update={
                **place,
                "store": config.store.resolve() if config.store else None,
                "workers": _workers(space),
            }
        ),
        facts,
    )


def _workers(space: Space) -> int:
    """Processes that read batches for a trial: as given, or the cores of the trial's resources that
    its own threads leave, at least 1."""
    if space.config.data.workers is not None:
        return space.config.data.workers
    return max(1, int(space.config.resources.cpu) - space.trial().threads)


def _commit() -> str | None:
    """The commit of the checkout that this package is imported from, with `+` where files were
    changed; None where it is installed."""
    root = Path(mtsearch.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        head, changed = (
            subprocess.run(
                ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=20
            )
            for words in (
                ("rev-parse", "--short=12", "HEAD"),
                ("status", "--porcelain", "--untracked-files=no"),
            )
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = head.stdout.strip()
    return f"{found}{'+' if changed.stdout.strip() else ''}" if found else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
