"""Reading and writing YAML by the rules of YAML 1.2, with bounds on what a file may contain.

Differences from PyYAML's default, which follows YAML 1.1:

- Whole numbers are decimal: ``008`` is 8 and ``010`` is 10. ``0o17``, ``0x1F``, ``1_000`` and
  ``1:30`` are text; a key that takes a number refuses them.
- ``yes``, ``no``, ``on`` and ``off`` are text. ``1e-3`` is a number. A date is text.
- A key that is given twice, a tag such as ``!!python/object`` and a merge key ``<<`` are refused.
- Aliases are expanded, up to `MAX_NODES` nodes and `MAX_DEPTH` levels in one document.
"""

from __future__ import annotations

import copy
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mtsearch.config.errors import BadInput, format_value

MAX_BYTES = 1 << 20
"""Bytes of a YAML file."""
MAX_NODES = 100_000
"""Values of a document, aliases expanded."""
MAX_DEPTH = 40
"""Levels of lists and mappings in a document."""
MAX_DIGITS = 400
"""Characters of a number."""

_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_TEXT = "tag:yaml.org,2002:str"
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_text(path: str | os.PathLike[str], what: str) -> str:
    """The text of a file of at most `MAX_BYTES` bytes.

    Args:
        path: of the file.
        what: the subject of the error sentence, such as ``the space pareto_cm``.

    Raises:
        BadInput: the path is not a regular file, the file cannot be read, is too large, or holds
            bytes that are not UTF-8 text.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its name is not a valid path"
        raise BadInput(f"{what} cannot be read: {reason}. Give another file.") from None
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or device"
        raise BadInput(f"{what} should be a file. Found {kind}. Give the path of a YAML file.")
    try:
        with os.fdopen(handle, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{what} cannot be read: {error.strerror}. Give another file.") from None
    if len(data) > MAX_BYTES:
        raise BadInput(
            f"{what} should be a file of at most {MAX_BYTES >> 20} MiB. Found a larger one."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{what} should be UTF-8 text. Found the byte 0x{data[error.start]:02x} at offset"
            f" {error.start}. Save it as UTF-8."
        ) from None
    if "\0" in text:
        raise BadInput(
            f"{what} should be text. Found a NUL byte at offset {text.index(chr(0))}. Remove it."
        )
    return text


def parse_yaml(text: str, what: str) -> Any:
    """The value of one YAML document: mappings, lists, texts, numbers, true, false and None.

    Args:
        text: the document.
        what: the subject of the error sentence, such as ``the space pareto_cm``.

    Raises:
        BadInput: the text is not YAML, or breaks one of the rules of this module.
    """
    builder = _Builder(what)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.take(event)
    except yaml.YAMLError as error:
        raise BadInput(f"{what} is not valid YAML: {_reason(error)}.") from None
    except (UnicodeEncodeError, RecursionError):
        raise BadInput(
            f"{what} is not valid YAML: it contains characters that are not text."
        ) from None
    return builder.value


def parse_inline(text: str, what: str) -> Any:
    """The value of one YAML document on a single line, as a command line gives it. Raises BadInput
    as `parse_yaml` does, and for a comment, which a shell word is not meant to have."""
    value = parse_yaml(text, what)
    events = yaml.parse(text, Loader=_Loader)
    end = max((e.end_mark.index for e in events if not isinstance(e, _ENDS)), default=0)
    rest = text.rstrip()[end:].strip()
    if rest.startswith("#"):
        raise BadInput(
            f"{what} contains a comment: {format_value(rest)}. Put the value in quotes that the"
            " shell keeps, for example 'key=\"a #b\"'."
        )
    return value


def dump_yaml(tree: Mapping[str, Any]) -> str:
    """A tree as YAML that `parse_yaml` and YAML 1.1 readers read back as the same tree."""
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 100}
    return str(yaml.dump(dict(tree), Dumper=_Dumper, **options))


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML has no types
    """Quotes texts that YAML 1.1 or 1.2 would read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML folds these line breaks in a single-quoted text and loses them
    style = '"' if any(mark in text for mark in "\x85\u2028\u2029") else None
    return dumper.represent_scalar(_TEXT, text, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(rf"^(?:{_INT.pattern})$"), None)
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(rf"^(?:{_FLOAT.pattern})$"), None
)
_ENDS = (yaml.DocumentEndEvent, yaml.StreamEndEvent)


def _reason(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    mark = getattr(error, "problem_mark", None)
    at = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    return f"{' '.join(str(problem).split()).rstrip('.')}{at}"


@dataclass
class _Open:
    """A list or mapping whose end has not been read; `key` is the key that waits for its value."""

    value: list[Any] | dict[Any, Any]
    anchor: str | None
    key: Any = None
    has_key: bool = False


@dataclass
class _Builder:
    """Makes the value of a document from PyYAML's events, without recursion."""

    what: str
    value: Any = None
    _open: list[_Open] = field(default_factory=list)
    _anchors: dict[str, tuple[Any, int, int]] = field(default_factory=dict)
    _nodes: int = 0
    _documents: int = 0

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._refuse(event, "contains several documents. Keep one")
        elif isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
            self._add(value, event)
            self._anchor(event.anchor, value)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                self._refuse(event, f"has an alias `*{event.anchor}` before its anchor")
            value, nodes, depth = self._anchors[event.anchor]
            self._count(event, nodes - 1, depth)
            self._add(copy.deepcopy(value), event)
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            if event.tag not in (None, "!"):
                self._refuse(event, f"has a tag `{event.tag}`, which is not supported. Remove it")
            self._count(event, 0, 1)
            is_list = isinstance(event, yaml.SequenceStartEvent)
            self._open.append(_Open([] if is_list else {}, event.anchor))
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            done = self._open.pop()
            self._add(done.value, event)
            self._anchor(done.anchor, done.value)

    def _add(self, value: Any, event: Any) -> None:
        self._count(event, 1, 0)
        if not self._open:
            self.value = value
            return
        parent = self._open[-1]
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.has_key:
            parent.value[parent.key] = value
            parent.has_key = False
        else:
            if isinstance(value, list | dict):
                self._refuse(event, "has a list or mapping as a key. Use a text")
            if value in parent.value:
                self._refuse(event, f"has the key `{value}` twice in one mapping. Remove one")
            if value == "<<":
                self._refuse(
                    event, "has a merge key `<<`, which YAML 1.2 lacks. Write the keys out"
                )
            parent.key, parent.has_key = value, True

    def _anchor(self, name: str | None, value: Any) -> None:
        if name is not None:
            self._anchors[name] = (value, *size_of(value))

    def _count(self, event: Any, nodes: int, depth: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._refuse(event, f"has more than {MAX_NODES:,} values, aliases expanded. Use fewer")
        if len(self._open) + depth > MAX_DEPTH:
            self._refuse(event, f"is nested more than {MAX_DEPTH} levels deep. Use fewer levels")

    def _scalar(self, event: Any) -> Any:
        if event.tag not in (None, "!", _TEXT):
            self._refuse(event, f"has a tag `{event.tag}`, which is not supported. Remove it")
        text = str(event.value)
        if event.tag is not None or not event.implicit[0]:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if special := _SPECIAL.fullmatch(text):
            return float("nan") if special[3] else float(f"{special[1]}inf")
        if _FLOAT.fullmatch(text):
            if len(text) > MAX_DIGITS:
                self._refuse(
                    event, f"has a number of more than {MAX_DIGITS} characters. Shorten it"
                )
            return int(text) if _INT.fullmatch(text) else float(text)
        return text

    def _refuse(self, event: Any, text: str) -> None:
        raise BadInput(f"{self.what} {text} (line {event.start_mark.line + 1}).")


def size_of(value: Any) -> tuple[int, int]:
    """The number of values in a value, itself and keys included, where each 100 characters of a
    text count as one; and its levels of nesting."""
    if isinstance(value, str):
        return 1 + len(value) // 100, 0
    if not isinstance(value, list | dict):
        return 1, 0
    parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
    sizes = [size_of(part) for part in parts]
    return 1 + sum(n for n, _ in sizes), 1 + max((d for _, d in sizes), default=0)


def load_yaml(path: str | Path, what: str) -> Any:
    """The value of a YAML file. Raises BadInput as `read_text` and `parse_yaml` do."""
    return parse_yaml(read_text(path, what), what)
