"""Stores: a prepared dataset as an LMDB database with a manifest, built once, then read-only.

A store is a folder with `data.mdb`, whose records are raw bytes of about 1 MiB of consecutive rows
under keys like `train/images/000012`, and `manifest.json`, which describes them. It is built in a
temporary folder beside its path and renamed, so that a store is either complete or absent.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from mtsearch.config.errors import BadInput, Damaged
from mtsearch.data.encoded import FILES, EncodedColumn
from mtsearch.data.formats.pictures import DecodeImage
from mtsearch.data.mapped import copy_bytes, mapped
from mtsearch.data.remarks import Remarks
from mtsearch.data.rows import Block, FileRows
from mtsearch.data.stamps import is_verified, set_verified
from mtsearch.data.writing import Writer

# Versions: 2 adds `manifest_sha256`
SCHEMA = 2
MANIFEST, DATA = "manifest.json", "data.mdb"
Arrays = dict[str, NDArray[Any]]  # "<split>/images", "<split>/labels/<task>"


def lock(path: Path) -> FileLock:
    """The lock file beside a store's path, held while building. The operating system releases it
    when its holder exits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.parent / f".{path.name}.lock")


def exists(path: Path) -> bool:
    """Whether a store exists at this path."""
    return path.is_dir()


class Watch(Protocol):
    """Sees the rows of a store while they are written."""

    def block(self, name: str, block: Block) -> None:
        """Take rows of an array. Raises `BadInput` for rows that cannot be stored."""

    def facts(self, remarks: Remarks) -> dict[str, Any]:
        """What the manifest says about all rows, given the remarks about their files. Raises
        `BadInput` if the arrays cannot be used together."""


def build(
    path: Path,
    arrays: Mapping[str, NDArray[Any] | FileRows],
    manifest: dict[str, Any],
    identity: str = "",
    watch: Watch | None = None,
    encoded: Mapping[str, dict[str, Any]] | None = None,
) -> None:
    """Write a store. The caller holds its `lock`.

    A builder that is killed or interrupted leaves a folder from which the next one with equal
    `identity` continues; the folders of others are removed. One that fails leaves nothing.

    Args:
        path: the store's folder.
        arrays: by name.
        manifest: what is known of the store before it is written.
        identity: hash of everything that the arrays are made from; empty never continues.
        watch: sees the rows and completes the manifest.
        encoded: names of arrays of files that are kept as files, with how they are decoded.

    Raises:
        OSError: the store cannot be written.
        BadInput: a file cannot be decoded.
    """
    folder = path.parent / f".{path.name}.building-{identity[:16] or os.getpid()}"
    for stale in path.parent.glob(f".{path.name}.building-*"):
        if stale != folder or not identity:
            shutil.rmtree(stale)
    folder.mkdir(exist_ok=True)
    try:
        with Writer(folder) as writer:
            for name in sorted(arrays):
                array = arrays[name]
                if encoded and name in encoded and isinstance(array, FileRows):
                    written = writer.encode(name, array, folder)
                else:
                    written = writer.write(name, array, folder)
                for block in written:
                    if watch is not None:
                        watch.block(name, block)
        kept = {name: decode for name, decode in (encoded or {}).items() if name in arrays}
        shapes = {n: (a.shape, a.dtype) for n, a in arrays.items() if n not in kept}
        about = {
            name: {"shape": list(shape), "dtype": dtype.str}
            for name, (shape, dtype) in (shapes | writer.encoded).items()
        }
        files = {
            name: {"shape": list(arrays[name].shape), "decode": decode}
            for name, decode in kept.items()
        }
        full = {
            "schema": SCHEMA,
            **manifest,
            **(watch.facts(writer.remarks) if watch is not None else {}),
            "arrays": about,
            **({"encoded": files} if files else {}),
            "checksum": writer.checksum,
            "data_sha256": _file_hash(folder / DATA),
        }
        text = json.dumps(with_checksum(full), indent=1) + "\n"
        (folder / MANIFEST).write_text(text, encoding="utf-8")
        for name in (DATA, MANIFEST):
            (folder / name).chmod(0o444)
            _sync(folder / name)
        _sync(folder)
        os.rename(folder, path)
    except Exception:  # not KeyboardInterrupt: the next builder continues
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _sync(path.parent)
    set_verified(path / DATA, full["data_sha256"])


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a store.

    Raises:
        BadInput: it is missing, damaged, or of a newer schema.
    """
    file = path / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        schema = manifest["schema"]
        if not isinstance(schema, int):
            raise ValueError(f"schema {schema!r}")
        missing = {"arrays", "checksum", "data_sha256", "label"} - set(manifest)
        if missing and schema <= SCHEMA:
            raise ValueError(f"no {min(missing)}")
        if schema <= SCHEMA:
            kept = manifest.get("manifest_sha256")
            if (kept or schema == SCHEMA) and with_checksum(manifest)["manifest_sha256"] != kept:
                raise ValueError("its checksum does not match")
            _check_arrays(path, manifest["arrays"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(
            f"The store's manifest {file} is damaged ({type(error).__name__}: {error});"
            f" {_again(path)}"
        ) from error
    if schema > SCHEMA:
        raise BadInput(
            f"The store {path} has schema {schema}, newer than {SCHEMA}, the newest known here; use"
            f" a newer mtsearch, or {_again(path)}"
        )
    return manifest


def with_checksum(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with the SHA-256 of its other entries."""
    rest = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    text = json.dumps(rest, sort_keys=True)
    return {**rest, "manifest_sha256": hashlib.sha256(text.encode()).hexdigest()}


def _check_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Raise ValueError if the manifest describes arrays that the data file cannot contain, before
    memory is allocated for them."""
    available = (path / DATA).stat().st_size if (path / DATA).is_file() else None
    for name, about in arrays.items():
        dtype = np.dtype(about["dtype"])
        if dtype.kind not in "uifb":
            raise ValueError(f"{name} has type {dtype}")
        if not all(type(size) is int and size >= 0 for size in about["shape"]):
            raise ValueError(f"{name} has shape {about['shape']}")
        if available is not None and math.prod(about["shape"]) * dtype.itemsize > available:
            raise ValueError(f"{name} is larger than the data file")


def verify(path: Path, manifest: dict[str, Any], *, again: bool = True) -> None:
    """Raise `Damaged` if a store's data differ from those that were built, byte by byte. Without
    `again`, a file that was verified on this node and has not changed since is not read."""
    file = path / DATA
    if not again and is_verified(file, manifest["data_sha256"]):
        return
    try:
        found = _file_hash(file)
    except OSError as error:
        raise Damaged(
            f"The store's data {file} cannot be read ({error.strerror}); {_again(path)}"
        ) from error
    if found != manifest["data_sha256"]:
        raise Damaged(
            f"The store's data {file} are damaged: their checksum is not that of the manifest;"
            f" {_again(path)}"
        )
    set_verified(file, found)


def read(
    path: Path,
    manifest: dict[str, Any],
    names: Collection[str] | None = None,
    verified: bool = False,
) -> Arrays:
    """Read all arrays of a store or those with these `names`, after `verify` unless the caller has
    `verified` the store. Raises `Damaged`."""
    # Checked before LMDB maps the file: access beyond the end of a truncated map kills the process.
    if not verified:
        verify(path, manifest, again=False)
    arrays: Arrays = {}
    with mapped(path) as transaction:
        for name, about in manifest["arrays"].items():
            if (names is None or name in names) and not name.endswith(FILES):
                array = np.empty(about["shape"], np.dtype(about["dtype"]))
                copy_bytes(transaction, name, 0, array.reshape(-1).view(np.uint8))
                arrays[name] = array
    for column in encoded_columns(path, manifest):
        if names is None or column.name in names:
            arrays[column.name] = column.read(range(column.count))
    return {name: array for name, array in arrays.items() if not name.endswith(FILES)}


def encoded_columns(path: Path, manifest: dict[str, Any]) -> list[EncodedColumn]:
    """The arrays of a store that are kept as files. Raises `Damaged`."""
    try:
        return [
            EncodedColumn(
                path,
                name,
                tuple(about["shape"][1:]),
                np.dtype(np.uint8),
                about["shape"][0],
                DecodeImage.from_settings(about["decode"]),
            )
            for name, about in manifest.get("encoded", {}).items()
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(
            f"The manifest of the store {path} does not say how its files are decoded ({error});"
            f" {_again(path)}"
        ) from error


def checksum(arrays: Arrays) -> str:
    """The SHA-256 of a dataset's content: names, types, shapes and bytes of its arrays,
    independent of how they are stored."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _file_hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _again(path: Path) -> str:
    return f"delete the folder {path} and prepare the dataset again."
