"""Registries of settings classes and their implementations by name.

A method is a settings class and an implementation. The settings class names its implementation as
text, which is imported when it is first used::

    @method("architecture", "hps", "mtsearch.models.hps:HPS")
    class HPSConfig(Model):
        name: Literal["hps"] = "hps"

A plug-in may register both in one file, with ``@method("architecture", "mine")`` on the settings
class and ``@implements(MineConfig)`` on the implementation.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from mtsearch.config.errors import BadInput, nearest

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


class Registry(Generic[K, V]):
    """Values by key; a key is taken once. It may be read as a mapping.

    Args:
        what: what a value is, for messages: ``"loss"``, ``"head of the task kind"``.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._values: dict[K, V | str] = {}

    def register(self, key: K) -> Callable[[T], T]:
        """A decorator that registers a class or function under `key`.

        Raises:
            BadInput: another class or function has the key. The same one, whose file was read
                again, replaces itself.
        """

        def register(value: T) -> T:
            self.add(key, value)  # type: ignore[arg-type]
            return value

        return register

    def add(self, key: K, value: V | str) -> None:
        """Register a value, or the text ``module:name`` of one that is imported when it is first
        read. Raises BadInput as `register` does."""
        old = self._values.get(key)
        if old is not None and old is not value and _source(old) != _source(value):
            name = key if isinstance(key, str) else getattr(key, "__name__", key)
            raise BadInput(
                f"the {self._what} `{name}` of {_name(value)} is already taken by {_name(old)}. "
                "Give it another name."
            )
        self._values[key] = value

    def __getitem__(self, key: K) -> V:
        value = self._values[key]
        if isinstance(value, str):
            module, _, name = value.partition(":")
            value = self._values[key] = getattr(importlib.import_module(module), name)
        return value

    def get(self, key: K) -> V | None:
        """The value of a key; None where it has none."""
        return self[key] if key in self._values else None

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[K]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __delitem__(self, key: K) -> None:
        del self._values[key]

    def items(self) -> Iterator[tuple[K, V]]:
        """All keys with their values, in the order of their registration."""
        return ((key, self[key]) for key in list(self._values))

    def suggest(self, key: object) -> str:
        """The end of an error sentence about an unknown key: the nearest one, or all of them."""
        return nearest(str(key), map(str, self._values))


_METHODS: dict[str, Registry[str, type[Any]]] = {}
_IMPLEMENTATIONS: Registry[type[Any], Any] = Registry("implementation of")
_FORMER: dict[tuple[str, str], str] = {}
_TAGS: Mapping[str, str] = {"sparsity": "mode"}


def tag_of(kind: str) -> str:
    """The key that names the method in a block of this kind: ``name``, for sparsity ``mode``."""
    return _TAGS.get(kind, "name")


def method(
    kind: str, name: str, implementation: str | None = None, former: Sequence[str] = ()
) -> Callable[[type[T]], type[T]]:
    """Register the settings class of a named method.

    Args:
        kind: ``architecture``, ``balancing``, ...: the block of a trial that names it.
        name: of the method, as a space gives it. ``--list`` shows the first line of the docstring.
        implementation: ``module:class`` of what implements it; None where `implements` names that.
        former: earlier names, which are still read and written as `name`.

    Raises:
        BadInput: another settings class has the name.
    """

    def register(settings: type[T]) -> type[T]:
        _METHODS.setdefault(kind, Registry(kind)).add(name, settings)
        if implementation is not None:
            _IMPLEMENTATIONS.add(settings, implementation)
        _FORMER.update({(kind, old): name for old in former})
        return settings

    return register


def current_name(kind: str, name: str) -> str:
    """The name of a method that may be given by an earlier one."""
    return _FORMER.get((kind, name), name)


def methods(kind: str | None = None) -> dict[str, Any]:
    """The settings classes of one kind by name; without `kind`, those of all kinds by kind."""
    if kind is None:
        return {kind: dict(registry.items()) for kind, registry in _METHODS.items()}
    return dict(_METHODS[kind].items()) if kind in _METHODS else {}


def implements(settings: type[Any]) -> Callable[[T], T]:
    """Register the decorated class or function as the implementation of a settings class. Raises
    BadInput where that has another one."""
    return _IMPLEMENTATIONS.register(settings)


def implementation_of(settings: Any) -> Any:
    """What implements a method with these settings. Raises BadInput where nothing is registered."""
    found = _IMPLEMENTATIONS.get(type(settings))
    if found is None:
        name = type(settings).__name__
        raise BadInput(f"`{name}` has no implementation. Register one with `@implements({name})`.")
    return found


def _name(value: Any) -> str:
    if isinstance(value, str):
        return value.replace(":", ".")
    return f"{value.__module__}.{value.__qualname__}"


def _source(value: Any) -> tuple[str, str]:
    """Where a class or function is written: a file may be imported under several names."""
    if isinstance(value, str):
        module, _, name = value.partition(":")
        return getattr(sys.modules.get(module), "__file__", None) or module, name
    home = sys.modules.get(value.__module__)
    return getattr(home, "__file__", None) or value.__module__, value.__qualname__
