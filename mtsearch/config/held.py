"""Objects that a caller handed to mtsearch as they are, such as a function that builds a network.
They live in the processes of a search and are never written to a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtsearch.config.errors import BadInput

PREFIX = "held:"
_HELD: dict[str, Any] = {}


def hold(value: Any, name: str) -> str:
    """Keep an object of this process.

    Args:
        value: the object.
        name: a name for it; another object of that name keeps it, and a number is appended.

    Returns:
        The name for the configuration, which begins with ``held:``.
    """
    key, number = f"{PREFIX}{name}", 1
    while key in _HELD and _HELD[key] is not value:
        number += 1
        key = f"{PREFIX}{name}-{number}"
    _HELD[key] = value
    return key


def held(key: str) -> Any:
    """The object of a name. Raises BadInput where this process has none."""
    if key not in _HELD:
        raise BadInput(
            f"`{key.removeprefix(PREFIX)}` was given from Python as an object, which a run does not"
            " keep. Give it again, as `model=` of `mtsearch.resume` or `mtsearch.load_run`."
        )
    return _HELD[key]


def all_held() -> dict[str, Any]:
    """All objects by name, for the processes that train."""
    return dict(_HELD)


def add_held(objects: Mapping[str, Any]) -> None:
    """Take the objects of another process; one of the same name is replaced."""
    _HELD.update(objects)


def release(key: str) -> None:
    """Forget an object."""
    _HELD.pop(key, None)
