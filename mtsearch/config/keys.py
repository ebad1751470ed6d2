"""The keys of a space with the values that can be listed, for shell completion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mtsearch.config.base import Named
from mtsearch.config.registry import methods, tag_of
from mtsearch.config.schema import SpaceConfig, TrialConfig


def known_keys() -> dict[str, list[str]]:
    """The key paths that an override can set, each with the values it is known to take: names of
    methods, words of a choice, true and false. The settings of all methods of a kind are listed."""
    found = dict(_keys(SpaceConfig, ""))
    del found["trial"], found["controls"]
    return {**found, **dict(_keys(TrialConfig, "trial."))}


def _keys(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, list[str]]]:
    for key, field in model.model_fields.items():
        path = f"{prefix}{key}"
        yield path, _values(field)
        named = next((mark for mark in field.metadata if isinstance(mark, Named)), None)
        inner: list[type[BaseModel]] = []
        if named is not None:
            inner = list(methods(named.kind).values())
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            inner = [field.annotation]
        for settings in inner:
            for name, values in _keys(settings, f"{path}."):
                if named is None or name != f"{path}.{tag_of(named.kind)}":
                    yield name, values


def _values(field: FieldInfo) -> list[str]:
    for mark in field.metadata:
        if isinstance(mark, Named):
            return list(methods(mark.kind))
    kinds = list(_parts(field.annotation))
    words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    return [*map(str, words), *(["true", "false"] if bool in kinds else [])]


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    if get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _parts(part)
