"""Python objects that a caller passes to mtsearch, such as a function that builds a network.

They exist in the processes of a search only; a run contains their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtsearch.config.errors import BadInput

PREFIX = "object:"
_OBJECTS: dict[str, Any] = {}


def add_object(value: Any, name: str) -> str:
    """Register an object in this process.

    Args:
        value: the object.
        name: a name for it; where another object has it, a number is appended.

    Returns:
        The name for the configuration, which begins with ``object:``.
    """
    key, number = f"{PREFIX}{name}", 1
    while key in _OBJECTS and _OBJECTS[key] is not value:
        number += 1
        key = f"{PREFIX}{name}-{number}"
    _OBJECTS[key] = value
    return key


def object_of(key: str) -> Any:
    """The object of a name. Raises BadInput where this process has none."""
    if key not in _OBJECTS:
        raise BadInput(
            f"`{key.removeprefix(PREFIX)}` was given from Python as an object, which a run does not"
            " keep. Give it again, as `model=` of `mtsearch.resume` or `mtsearch.load_run`."
        )
    return _OBJECTS[key]


def all_objects() -> dict[str, Any]:
    """All objects by name, for the processes that train."""
    return dict(_OBJECTS)


def add_objects(objects: Mapping[str, Any]) -> None:
    """Register the objects of another process; one of the same name is replaced."""
    _OBJECTS.update(objects)


def remove_object(key: str) -> None:
    """Remove an object."""
    _OBJECTS.pop(key, None)
