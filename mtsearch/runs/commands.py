"""The command that trains a trial again alone, with or without the paths of this machine."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mtsearch.config.errors import BadInput
from mtsearch.config.plugins import is_file, parse_plugins
from mtsearch.config.space import Space
from mtsearch.config.yaml_text import parse_yaml
from mtsearch.runs.state import RunState, TrialRecord


def command_of(state: RunState, trial: TrialRecord, space: Space) -> str:
    """The command line that trains a trial again alone: the space as given, with every setting that
    differs from its defaults."""
    words = ["python -m mtsearch.train", f"space={_quoted(state.space)}"]
    if state.profile:
        words.append(f"profile={_quoted(state.profile)}")
    if trial.control:
        words.append(f"control={_quoted(trial.control)}")
    # Settings of the search, results and the like do not apply to a single training.
    parts = ("plugins", "data", "trial", *(["controls"] if trial.control else []))
    words += [
        _quoted(pair) for pair in state.overrides if pair.split("=", 1)[0].split(".")[0] in parts
    ]
    if trial.control:
        base = space.controls.get(trial.control, trial.config)
        words += [
            _quoted(f"{path}={text(value)}")
            for path, value in _differences(trial.config, base, f"controls.{trial.control}", set())
        ]
        return " ".join(words)
    dimensions = {dimension.path for dimension in space.dimensions}
    words += [
        _quoted(f"{path}={text(value)}")
        for path, value in _differences(trial.config, space.defaults, "trial", dimensions)
    ]
    return " ".join(words)


def _differences(
    tree: Mapping[str, Any], base: Mapping[str, Any], prefix: str, whole: set[str]
) -> list[tuple[str, Any]]:
    """The settings that change `base` into `tree`; dimensions in `whole` and methods with another
    name are set as a whole."""
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        path, old = f"{prefix}.{key}", base.get(key)
        if value == old:
            continue
        if (
            isinstance(value, Mapping)
            and isinstance(old, Mapping)
            and path not in whole
            and _same_method(value, old)
        ):
            found += _differences(value, old, path, whole)
        else:
            found.append((path, value))
    return found


def _same_method(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    return all(new.get(tag) == old.get(tag) for tag in ("name", "mode")) and set(old) <= set(new)


def text(value: Any) -> str:
    """A value as YAML on one line, for `key=value`; numbers keep every digit. Scalars of NumPy and
    torch are numbers."""
    if callable(getattr(value, "item", None)) and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_yaml_text(k)}: {_nested(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_nested(v) for v in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        digits = repr(value)
        # YAML 1.1 reads 1e-05 as text, 1.0e-05 as a number.
        return digits if "e" not in digits or "." in digits else digits.replace("e", ".0e")
    word = str(value)
    # The value of a text key is read literally, except quotes around it and null.
    return json.dumps(word) if word in ("", "null", "~") or word[0] in "'\"" else word


def _nested(value: Any) -> str:
    return _yaml_text(value) if isinstance(value, str) else text(value)


def _yaml_text(word: Any) -> str:
    """A text inside a list or mapping, quoted if YAML would not read it as that text."""
    plain = str(word)
    if re.fullmatch(r"[A-Za-z_][A-Za-z_/.]*", plain) and plain.lower() not in _YAML_WORDS:
        return plain
    try:
        same = parse_yaml(f"[{plain}]", "the text") == [plain]
    except BadInput:
        same = False
    return plain if same else json.dumps(plain, ensure_ascii=False)


_YAML_WORDS = ("null", "true", "false")


def strip_local_paths(words: Iterable[str]) -> list[str]:
    """Words of a command without the folders of this machine: the data root becomes DATA, and files
    of spaces, cards and plug-ins are given by name."""
    found = []
    for word in words:
        key, _, value = word.partition("=")
        if key == "data.root":
            word = "data.root=DATA"
        elif key == "plugins":
            names = [
                Path(entry).name if is_file(entry) else entry for entry in parse_plugins(value)
            ]
            word = f"plugins=[{', '.join(names)}]"
        elif key in ("space", "data.dataset"):
            word = f"{key}={Path(value).name}"
        if key != "data.store":
            found.append(word)
    return found


def _quoted(word: str) -> str:
    return shlex.quote(word)
