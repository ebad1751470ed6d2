"""The base of all configuration models, and the registry of named methods."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from mtsearch.config.errors import BadInput, nearest, shown


def field_error(key: str, text: str) -> ValueError:
    """For a validator of a whole model: what is wrong with one of its keys, in a sentence that
    begins behind that key."""
    return ValueError(f"`.{key}` {text}")


def _is_number(annotation: Any) -> bool:
    """Whether a field takes numbers and not true and false, which pydantic takes for 1 and 0."""
    kinds = {
        annotation,
        *(
            kind
            for part in get_args(annotation)
            for kind in (part, *get_args(part))
            if isinstance(kind, type)
        ),
    }
    return bool(kinds & {int, float}) and bool not in kinds


class Model(BaseModel):
    """A frozen model that refuses unknown keys and names the nearest right one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key `{key}`. {nearest(key, cls.model_fields)}")
                if isinstance(data[key], bool) and _is_number(cls.model_fields[key].annotation):
                    raise field_error(key, f"should be a number. Found {shown(data[key])}")
        return data


M = TypeVar("M", bound=Model)
_METHODS: dict[str, dict[str, type[Model]]] = {}
_TAGS: dict[str, str] = {"sparsity": "mode"}


def tag_of(kind: str) -> str:
    """The key that names the method inside a block of this kind: ``name``, for sparsity
    ``mode``."""
    return _TAGS.get(kind, "name")


def method(kind: str, name: str) -> Callable[[type[M]], type[M]]:
    """Register the settings of a named method: ``@method("architecture", "hps")``. ``--list`` shows
    the first line of its docstring."""

    def register(cls: type[M]) -> type[M]:
        claim(_METHODS.setdefault(kind, {}), name, cls, kind)
        return cls

    return register


def claim(table: dict[Any, Any], key: Any, value: Any, what: str) -> None:
    """Enter `value` in a registry's table. Raises BadInput where another class or function has the
    name; the same one, whose file was read again, replaces itself."""
    old = table.get(key)
    if old is not None and old is not value and _home(old) != _home(value):
        name = key if isinstance(key, str) else key.__name__
        raise BadInput(
            f"the {what} `{name}` of {_name(value)} is already taken by {_name(old)}. Give it"
            " another name."
        )
    table[key] = value


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _home(thing: Any) -> tuple[str, str]:
    """Where a class or function is written: a file may be imported under several names."""
    return (
        getattr(sys.modules.get(thing.__module__), "__file__", None) or thing.__module__,
        thing.__qualname__,
    )


def methods(kind: str | None = None) -> dict[str, Any]:
    """The registered settings classes of one kind by name, or all kinds."""
    return dict(_METHODS if kind is None else _METHODS[kind])


def named(kind: str, optional: bool = False) -> Any:
    """A field type that takes ``name`` or ``{name: ..., settings}`` and yields that method's
    settings model; None too, if `optional`."""
    tag = tag_of(kind)

    def parse(value: Any) -> Any:
        if isinstance(value, Model) or (value is None and optional):
            return value
        if isinstance(value, str):
            value = {tag: value}
        if not isinstance(value, dict):
            raise ValueError(f"should be a name or a mapping with `{tag}`. Found {shown(value)}")
        chosen = value.get(tag)
        known = _METHODS.get(kind, {})
        if chosen is None:
            raise ValueError(f"should have a `{tag}`. Found none. {nearest('', known)}")
        if not isinstance(chosen, str):
            raise field_error(tag, f"should be a name. Found {shown(chosen)}")
        if chosen not in known:
            raise ValueError(f"is unknown: {chosen!r}. {nearest(chosen, known)}")
        return known[chosen].model_validate(value)

    return Annotated[Any, BeforeValidator(parse)]
