"""Which plug-ins of a run directory are loaded without being named on the command line.

A run directory may come from anybody, and what it says about itself proves nothing. Its plug-ins
are loaded where an installed package provides them as an entry point, or where a private file of
this user, written when the run began on this machine, contains the same run, files and checksums.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import json
import logging
import os
import re
import stat
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import platformdirs

from mtsearch.config.errors import BadInput
from mtsearch.config.plugins import GROUP, is_file

_log = logging.getLogger(__name__)
_RUN_ID = re.compile(r"[0-9a-f]{32}")


def trust_plugins(run_id: str, entries: Iterable[str]) -> None:
    """Write down, for this user, the files and checksums of the plug-ins that a run begins with.

    Args:
        run_id: of the run that this process has just made.
        entries: the plug-ins that its user named.
    """
    files = {entry: found for entry in entries if (found := _checksums(entry))}
    if not files:
        return
    path = _record(run_id)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"run": run_id, "plugins": files}, file)
    except OSError as error:
        _log.warning(
            "%s cannot be written (%s), so a resume has to name the plug-ins: plugins=[...].",
            path,
            error.strerror,
        )


def refuse_untrusted(folder: Path, run_id: str, entries: Any) -> None:
    """Raises BadInput where a run directory names a plug-in that is neither an installed entry
    point nor one that the run began with on this machine.

    Args:
        folder: of the run.
        run_id: of the run, from its events.
        entries: the plug-ins of its configuration.
    """
    entries = entries if isinstance(entries, list) else [entries]
    unknown = [entry for entry in entries if not isinstance(entry, str) or not _installed(entry)]
    if not unknown:
        return
    known = _read_record(folder, run_id)
    for entry in unknown:
        recorded = known.get(entry) if isinstance(entry, str) else None
        if recorded is None:
            raise BadInput(
                f"{folder} names the plug-in {entry!r}, which is code and is not loaded from a run"
                f" directory. Name it yourself, if you trust it, with `plugins=[{entry}]`."
            )
        for file in recorded:
            if not Path(file).is_file():
                raise BadInput(
                    f"`plugins` names a file that does not exist: {file}. Say where it is now with"
                    " `plugins=[FILE.py]`."
                )
        if _checksums(entry) != recorded:
            raise BadInput(
                f"the plug-in {entry!r} is not the one that the run {folder} began with. Put that"
                f" one back, or name this one, if you trust it, with `plugins=[{entry}]`."
            )


def _record(run_id: str) -> Path:
    folder = platformdirs.user_state_path("mtsearch", appauthor=False) / "trusted"
    return folder / f"{run_id}.json"


def _read_record(folder: Path, run_id: str) -> dict[str, Any]:
    """The checksums by file by plug-in that this user's file holds for a run; empty where there is
    none, or others may write it."""
    path = _record(run_id)
    if not _RUN_ID.fullmatch(run_id) or folder.resolve() in path.resolve().parents:
        return {}
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, encoding="utf-8") as file:
            found = os.fstat(file.fileno())
            private = stat.S_ISREG(found.st_mode) and not found.st_mode & 0o077
            if not private or found.st_uid != os.getuid():
                return {}
            tree = json.load(file)
        if tree["run"] != run_id:
            return {}
        return {str(entry): dict(files) for entry, files in tree["plugins"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _installed(entry: str) -> bool:
    return any(point.module == entry for point in entry_points(group=GROUP))


def _checksums(entry: str) -> dict[str, str]:
    """The SHA-256 of each file that importing a plug-in runs first, by its path; empty where it is
    not found. Nothing is imported for that."""
    found = {}
    for path in [Path(os.path.abspath(entry))] if is_file(entry) else _module_files(entry):
        try:
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            return {}
    return found


def _module_files(name: str) -> list[Path]:
    """The files of a module and of the packages that hold it, found as an import would find them,
    but without running them."""
    files: list[Path] = []
    where: list[str] | None = None
    full = ""
    for part in name.split("."):
        full = f"{full}.{part}" if full else part
        try:
            spec = (
                importlib.util.find_spec(full)
                if where is None
                else importlib.machinery.PathFinder.find_spec(full, where)
            )
        except (ImportError, ValueError, AttributeError):
            return []
        if spec is None or spec.origin is None:
            return []
        if spec.has_location:
            files.append(Path(spec.origin).absolute())
        where = list(spec.submodule_search_locations or [])
    return files
