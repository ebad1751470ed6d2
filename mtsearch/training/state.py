"""The state of a trial on disk: tensors as safetensors, everything else as a JSON tree, written
atomically. Reading it executes no code from the files."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mtsearch.config.checkpoint_owner import CheckpointOwner
from mtsearch.config.errors import BadInput

# Versions: 2 adds sparsifier ticks; 3 checksums; 4 stores weights selected for several tasks once
# and includes the version in the checksum; 5 renames `handed` to `carried_metrics`; 6 adds the
# owner of the checkpoint
VERSION, OLDEST = 6, 2
_TENSORS, _TREE = "state.safetensors", "state.json"


def save_state(folder: Path, state: dict[str, Any], owner: CheckpointOwner | None = None) -> None:
    """Write a nested tree of tensors and plain values to a folder, atomically: after a crash the
    folder contains the old or the new state.

    Args:
        folder: the folder, which is replaced.
        state: the tree.
        owner: the trial to which the state belongs; None for none.

    Raises:
        OSError: the files cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    tree: dict[str, Any] = {"version": VERSION, "state": encode(state, "", tensors)}
    tree["owner"] = None if owner is None else owner.stored()
    tree["state_sha256"] = _tree_hash(tree)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    fresh.mkdir()
    try:
        save_file(tensors, fresh / _TENSORS)
        tree["tensors_sha256"] = _file_hash(fresh / _TENSORS)
        (fresh / _TREE).write_text(json.dumps(tree, allow_nan=False), encoding="utf-8")
        # safetensors creates files that only their owner can read
        shutil.copymode(fresh / _TREE, fresh / _TENSORS)
        for name in (_TENSORS, _TREE):
            _sync(fresh / name)
    except SafetensorError as error:  # raised by safetensors if the disk is full
        shutil.rmtree(fresh, ignore_errors=True)
        raise OSError(errno.EIO, str(error), str(fresh)) from error
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    while not _replace(fresh, folder):
        pass
    _sync(folder.parent)
    shutil.rmtree(_old(folder), ignore_errors=True)


def _replace(fresh: Path, folder: Path) -> bool:
    """Move a new folder to its place. Returns False if another process moves the same folders at
    the same time. That can be a worker of a driver that has died, until it is stopped; it writes
    the state of the same trial.
    """
    shutil.rmtree(_old(folder), ignore_errors=True)
    try:
        with suppress(FileNotFoundError):
            os.rename(folder, _old(folder))
        os.rename(fresh, folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def load_state(folder: Path, owner: CheckpointOwner | None = None) -> dict[str, Any]:
    """Read a state that `save_state` wrote.

    Args:
        folder: the folder.
        owner: the trial to which the state must belong; None for any.

    Returns:
        The tree, with its tensors on the CPU.

    Raises:
        BadInput: the state is missing, damaged, of an unsupported version or of another trial.
    """
    if not folder.exists() and _old(folder).exists():
        # a crash between the two renames of `_replace` leaves only the previous state
        os.rename(_old(folder), folder)
    try:
        tree = json.loads((folder / _TREE).read_text(encoding="utf-8"))
        tensors = load_file(folder / _TENSORS)
        if tree["version"] < OLDEST:
            raise BadInput(
                f"the checkpoint {folder} has version {tree['version']}, but this mtsearch reads"
                f" versions {OLDEST} to {VERSION}. Train the trial again."
            )
        if tree["version"] > OLDEST or "state_sha256" in tree:
            for what, kept, found in (
                (_TREE, tree["state_sha256"], _tree_hash(tree)),
                (_TENSORS, tree["tensors_sha256"], _file_hash(folder / _TENSORS)),
            ):
                if kept != found:
                    raise ValueError(f"the checksum of {what} does not match")
        if tree["version"] > VERSION:
            raise BadInput(
                f"the checkpoint {folder} has version {tree['version']}, but this mtsearch reads"
                f" versions {OLDEST} to {VERSION}. Update mtsearch."
            )
        _check_owner(folder, tree.get("owner"), owner)
        state: dict[str, Any] = decode(tree["state"], tensors)
        return state
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
        SafetensorError,
    ) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            f"the checkpoint {folder} is missing or damaged ({type(error).__name__}: {error})."
        ) from None


def _check_owner(folder: Path, found: Any, owner: CheckpointOwner | None) -> None:
    """Raise BadInput if a checkpoint does not belong to the trial `owner`."""
    if owner is None or found == owner.stored() or (found is None and not owner.required):
        return
    whose = "no trial"
    if isinstance(found, dict):
        whose = f"trial `{found.get('trial')}` of run {found.get('run')}"
        if found.get("trial") == owner.trial and found.get("run") == owner.run:
            whose = "another configuration of it"
    raise BadInput(
        f"the checkpoint {folder} should belong to trial `{owner.trial}` of run {owner.run},"
        f" but it belongs to {whose}. Restore the folder from a copy, or train the trial again."
    )


def has_state(folder: Path) -> bool:
    """Return whether a folder contains a complete state, or its previous version."""
    return (folder / _TREE).exists() or (_old(folder) / _TREE).exists()


def _tree_hash(tree: dict[str, Any]) -> str:
    counted: Any = tree["state"]
    if tree["version"] > 5:
        counted = [tree["version"], tree["state"], tree["owner"]]
    elif tree["version"] > 3:
        counted = [tree["version"], tree["state"]]
    return hashlib.sha256(json.dumps(counted, allow_nan=False).encode()).hexdigest()


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def encode(value: Any, key: str, tensors: dict[str, Tensor]) -> Any:
    """Return a JSON tree of `value` and add its tensors to `tensors`, by their path below `key`.
    Raises TypeError for values that are neither tensors nor plain."""
    if isinstance(value, Tensor):
        # safetensors does not support views and channels-last
        tensors[key] = value.detach().cpu().contiguous().clone()
        return {"__tensor__": key}
    if isinstance(value, dict):
        return {"__items__": [[k, encode(v, f"{key}/{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"__tuple__": [encode(v, f"{key}/{i}", tensors) for i, v in enumerate(value)]}
    if isinstance(value, list):
        return [encode(v, f"{key}/{i}", tensors) for i, v in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        return {"__float__": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"State `{key}` should be a tensor or a plain value. Found {type(value).__name__}."
    )


def decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return the value that `encode` turned into a JSON tree and tensors."""
    if isinstance(value, list):
        return [decode(v, tensors) for v in value]
    if isinstance(value, dict):
        ((tag, inner),) = value.items()
        if tag == "__tensor__":
            return tensors[inner]
        if tag == "__items__":
            return {k: decode(v, tensors) for k, v in inner}
        if tag == "__tuple__":
            return tuple(decode(v, tensors) for v in inner)
        return float(inner)
    return value


def to_device(value: Any, device: torch.device) -> Any:
    """Return the tree with its tensors on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {k: to_device(v, device) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_device(v, device) for v in value)
    return value
