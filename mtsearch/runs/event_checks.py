"""The form of each kind of event: fields, types and names. The order of events is checked by
`RunState`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from mtsearch.runs.names import is_control_trial_name, is_search_name, is_trial_name

_STOP_RULES = ("search.stop.epochs", "search.stop.gpu_hours", "search.stop.plateau")
RESUMABLE = (
    "search.trials",
    "search.budget",
    "search.slots",
    "search.confirm",
    "search.start",
    *_STOP_RULES,
)
"""The settings that a resume may change; its event holds their new values."""
ENDING = frozenset(("search.budget", *_STOP_RULES))
"""Those that end a search before it has all its trials."""

_Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53


def _seconds(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and abs(value) < 1e12


def _tree(value: Any) -> bool:
    return isinstance(value, dict)


def _metrics(value: Any) -> bool:
    return isinstance(value, dict) and not any(
        isinstance(number, bool) and key.startswith(("train/", "val/", "test/"))
        for key, number in value.items()
    )


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _points(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(point, dict)
        and _metrics(point.get("metrics"))
        and (_seconds(point.get("level")) or _weights(point.get("preference")))
        for point in value
    )


def _weights(value: Any) -> bool:
    return isinstance(value, dict) and all(_seconds(weight) for weight in value.values())


def _changes(value: Any) -> bool:
    return isinstance(value, dict) and all(
        key in RESUMABLE and (new is None or _right_change(key, new)) for key, new in value.items()
    )


def _right_change(key: str, new: Any) -> bool:
    if key == "search.start":
        return isinstance(new, list) and all(isinstance(entry, dict) for entry in new)
    if key == "search.stop.plateau":
        return isinstance(new, dict)
    return _seconds(new) and bool(new >= 0)


_FIELDS: Mapping[str, Mapping[str, _Check]] = {
    "run": {"space": _text, "overrides": _texts},
    "resume": {"changes": _changes},
    "start": {
        "trial": is_trial_name,
        "kind": lambda value: value in ("search", "control"),
        "config": _tree,
        "params": _tree,
        "attempt": _count,
    },
    "report": {"trial": is_trial_name, "report": _count, "metrics": _metrics},
    "end": {
        "trial": is_trial_name,
        "state": lambda value: value in ("done", "failed", "stopped"),
    },
    "test": {"trial": is_trial_name, "metrics": _metrics},
    "note": {"trial": is_trial_name, "note": _text},
    "stop": {"reason": _text},
}
_OPTIONAL: Mapping[str, Mapping[str, _Check]] = {
    "run": {
        "profile": _text_or_none,
        "single": lambda value: isinstance(value, bool),
        "schema": _count,
        "config_sha256": _text,
    },
    "start": {"control": _text_or_none, "study": _tree},
    "report": {"stop": _text_or_none},
    "end": {
        "reason": _text_or_none,
        "points": _points,
        "selected": lambda value: value is None or _count(value),
        "measured": _tree,
    },
}


def check_event(event: Mapping[str, Any]) -> None:
    """Raises ValueError with the reason where an event lacks a field, a field has another type, or
    a trial has a name that no trial of a run has."""
    kind = event["event"]
    if kind not in _FIELDS:
        raise ValueError("its kind is unknown")
    for field, check in {"time": _seconds, **_FIELDS[kind]}.items():
        if field not in event:
            raise ValueError(f"it lacks `{field}`")
        if not check(event[field]):
            if check is is_trial_name:
                raise ValueError(
                    f"its `trial` is {str(event[field])[:40]!r}, and trials are named by their"
                    " numbers, controls by letters, digits, `-` and `_`"
                )
            raise ValueError(f"its `{field}` is not what this field holds")
    for field, check in {"clock": _seconds, "run": _text, **_OPTIONAL.get(kind, {})}.items():
        if field in event and not check(event[field]):
            raise ValueError(f"its `{field}` is not what this field holds")
    if kind == "start":
        _check_start(event)


def _check_start(event: Mapping[str, Any]) -> None:
    name, control = event["trial"], event.get("control")
    if event["kind"] == "search" and (not is_search_name(name) or control is not None):
        raise ValueError("its `trial` is not the name of a search trial")
    if event["kind"] == "control" and (
        not is_control_trial_name(name) or control not in (None, name.partition(".")[0])
    ):
        raise ValueError("its `trial` is not the name of a control")
