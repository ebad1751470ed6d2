"""Plug-ins: Python modules and files outside the package whose import registers methods, task kinds
and dataset builders.

A plug-in is code that the user names, or has installed: nothing else that is read runs code.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.yaml_text import parse_inline

GROUP = "mtsearch.plugins"
"""The entry points that an installed package lists its plug-in modules under."""

_installed: list[str] = []  # the entry points that have been loaded, once they all are
_done = False
_loaded: dict[str, ModuleType] = {}  # modules of plug-ins, by name or absolute path


def is_file(entry: str) -> bool:
    """Whether an entry of `plugins` is the path of a file and not the name of a module."""
    return entry.endswith(".py") or os.sep in entry


def absolute_plugins(entries: Any, folder: Path | None = None) -> list[str]:
    """The entries of a `plugins` key, the files by their absolute paths: beside `folder`'s files if
    they are there, else from the working folder. So the run directory that keeps them is understood
    from any folder. Raises BadInput for what is not a list of names.
    """
    if isinstance(entries, str):
        entries = [entries]
    if entries is None:
        return []
    if not isinstance(entries, list | tuple) or not all(
        isinstance(entry, str) and entry for entry in entries
    ):
        raise BadInput(
            f"`plugins` should list modules and Python files. Found {entries!r}. Write, for"
            " example, `plugins=[my_methods.py]`."
        )
    return [absolute_path(entry, folder) if is_file(entry) else entry for entry in entries]


def parse_plugins(text: str) -> list[str]:
    """The entries of ``plugins=TEXT`` on a command line, where TEXT is a list in brackets, or one
    name or path that is taken as it stands. Raises BadInput."""
    if text.lstrip()[:1] not in ("[", "'", '"'):
        return [] if text.strip() in ("null", "~") else absolute_plugins(text)
    try:
        return absolute_plugins(parse_inline(text, "the value of `plugins`"))
    except BadInput as error:
        if "is not valid YAML" not in str(error):
            raise
        raise BadInput(
            f"the value of `plugins` is not valid YAML: {text!r}. Write, for example,"
            " `plugins=[my_methods.py]`."
        ) from None


def absolute_path(path: str, folder: Path | None = None) -> str:
    """The absolute path of a file named in a space: beside the space's file in `folder` if it is
    there, else from the working folder."""
    if "${" in path:  # an interpolation that is not resolved yet
        return path
    given = Path(path).expanduser()
    beside = folder / given if folder is not None else given
    return os.path.abspath(beside if beside.is_file() else given)


def load_plugins(entries: Iterable[str] = ()) -> None:
    """Import the installed packages' plug-ins and the named ones, each once in a process.

    Args:
        entries: names of modules, and paths of Python files.

    Raises:
        BadInput: a plug-in is not to be found, raises while it is imported, or registers a name
            that is taken.
    """
    _load_installed()
    for entry in entries:
        if is_file(entry):
            path = Path(os.path.abspath(Path(entry).expanduser()))
            _loaded[str(path)] = _load_file(path, entry)
        else:
            _loaded[entry] = _load_module(entry)


def plugin_object(text: str, key: str) -> Any:
    """The function, class or object `module:NAME` or `FILE.py:NAME` of a plug-in that was loaded.

    Only what a plug-in itself defines is found, because the text may come from a run directory.

    Args:
        text: the text.
        key: the setting that has it, for messages.

    Raises:
        BadInput: no such plug-in is loaded, or it does not define the name.
    """
    entry, _, name = text.rpartition(":")
    found = [
        module
        for place, module in _loaded.items()
        if (Path(place).name == Path(entry).name if is_file(entry) else place == entry)
    ]
    if len({id(module) for module in found}) != 1:
        raise BadInput(
            f"`{key}` names {'no' if not found else 'more than one'} plug-in: {text}. Write"
            f" FILE.py:FUNCTION or package.module:FUNCTION, and name the file or module with"
            f" `plugins=[{entry or 'FILE.py'}]`."
        )
    module = found[0]
    value = vars(module).get(name)
    if value is None or getattr(value, "__module__", module.__name__) != module.__name__:
        own = [
            n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
        ]
        raise BadInput(
            f"`{key}` names nothing that {entry} defines: `{name}`. {nearest(name, own)}"
        )
    return value


def checksums(entries: Iterable[str]) -> dict[str, str]:
    """The SHA-256 of each loaded plug-in's file, by its name without folders: what a run began
    with. Packages of several files count by the named one."""
    found = {}
    for entry in entries:
        path = _file_of(entry)
        if path and Path(path).is_file():
            found[Path(entry).name if is_file(entry) else entry] = hashlib.sha256(
                Path(path).read_bytes()
            ).hexdigest()
    return found


def code_of(cls: type) -> str | None:
    """The SHA-256 of the file that a class from outside the package is defined in; None for the
    package's own classes."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if cls.__module__.partition(".")[0] == "mtsearch" or not file or not Path(file).is_file():
        return None
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _load_installed() -> None:
    global _done
    if _done:
        return
    for point in entry_points(group=GROUP):
        owner = point.dist.name if point.dist is not None else "an unnamed package"
        try:
            point.load()
            _loaded[point.module] = sys.modules[point.module]
        except (Exception, SystemExit) as error:
            raise BadInput(
                f"the plug-in `{point.value}` of the installed package {owner}"
                f" {_reason(error, point.module)}. Update or uninstall {owner}."
            ) from error
        _installed.append(point.name)
    _done = True


def _load_module(name: str) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and (name == missing or name.startswith(f"{missing}.")):
            raise BadInput(
                f"`plugins` names a module that Python does not find here: `{name}`. Install its"
                " package, put its folder on PYTHONPATH, or give the path of its file, ending in"
                " .py."
            ) from None
        raise BadInput(f"the plug-in `{name}` {_reason(error, name)}.") from error
    if getattr(module, "__file__", None) is None:  # Python imports any folder as an empty package
        raise BadInput(
            f"`plugins` names a folder without `__init__.py`: `{name}`. Name a module in it, or"
            " give the path of a file, ending in .py."
        )
    return module


class _Source(importlib.machinery.SourceFileLoader):
    """Compiles the file as it is now. A cache of bytecode takes a change within a second that keeps
    the size for none, and the data and trials of a plug-in are known by what is in its file."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _load_file(path: Path, given: str) -> ModuleType:
    name = f"mtsearch_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    for known in [sys.modules.get(name), *list(sys.modules.values())]:
        if known is not None and (known.__name__ == name or _file_is(known, path)):
            return known
    if not path.is_file():
        raise BadInput(
            f"`plugins` names a file that does not exist: {given}. Say where it is now with"
            " `plugins=[FILE.py]`."
        )
    spec = importlib.util.spec_from_file_location(name, path, loader=_Source(name, str(path)))
    if spec is None or spec.loader is None or path.suffix != ".py":
        raise BadInput(
            f"`plugins` should list modules and Python files, ending in .py. Found {given}."
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = (
        module  # dataclasses and annotations look their module up while it is executed
    )
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise BadInput(f"the plug-in {given} {_reason(error, str(path))}.") from error
    return module


def _file_is(module: Any, path: Path) -> bool:
    """Whether a module that has been imported, under whatever name, is this file."""
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and file.endswith(path.name) and os.path.abspath(file) == str(path)


def _reason(error: BaseException, where: str) -> str:
    """What went wrong in a plug-in: the first line of what it raised, and the line of its file that
    did."""
    text = next(iter(str(error).splitlines()), "").rstrip(".")
    if isinstance(error, BadInput):
        return f"cannot be used: {text}"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == _file_of(where)
    ]
    line = error.lineno if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
    at = f" at line {line}" if line is not None else ""
    return (
        f"raises {type(error).__name__}{at}: {text}"
        if text
        else f"raises {type(error).__name__}{at}"
    )


def _file_of(where: str) -> str:
    if is_file(where):
        return where
    try:
        spec = importlib.util.find_spec(where)
    except (ImportError, ValueError, AttributeError):
        return ""
    return spec.origin or "" if spec is not None else ""
