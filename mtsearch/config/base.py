"""The base of all configuration models, and fields that name a registered method."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from mtsearch.config.errors import format_value, nearest
from mtsearch.config.registry import current_name, method, methods, tag_of

__all__ = [  # plug-ins import `method` from here, too
    "MethodConfig",
    "Model",
    "Named",
    "field_error",
    "method",
]

_OFF = ("no", "off", "false", "none", "null")
_NUMERIC = re.compile(r"[-+]?\.?[0-9][0-9a-zA-Z_.:+-]*")


def field_error(key: str, text: str) -> ValueError:
    """The error of a whole model's validator about one of its keys.

    Args:
        key: of the model, such as ``betas`` or ``betas[0]``.
        text: the sentence after the key, such as ``should be positive. Found -1``.
    """
    return ValueError(f"`.{key}` {text}")


class Model(BaseModel):
    """A frozen model that refuses unknown keys and names the nearest known one.

    A key that takes numbers takes no texts and no true or false, and a key that takes true or false
    takes nothing else: pydantic alone would read ``1_000``, ``"8"`` and ``yes``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key, value in data.items():
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key `{key}`. {nearest(key, cls.model_fields)}")
                kinds = _leaf_types(cast(Hashable, cls.model_fields[key].annotation))
                if kinds <= {int, float, NoneType}:
                    _check_numbers(key, value)
                elif kinds <= {bool, NoneType}:
                    _check_switch(key, value)
        return data


class MethodConfig(Model):
    """Settings of a method that a space names."""

    name: str


def _check_numbers(key: str, value: Any) -> None:
    for where, leaf in _leaves(key, value):
        if isinstance(leaf, bool):
            raise field_error(where, f"should be a number. Found {format_value(leaf)}")
        if isinstance(leaf, str) and _is_numeric(leaf):
            raise field_error(
                where,
                f"should be a number. Found the text {format_value(leaf)}. Write decimal digits"
                " without quotes, such as 10, 0.001 or 1e-3",
            )


def _check_switch(key: str, value: Any) -> None:
    if value is not None and not isinstance(value, bool):
        right = {"yes": "true", "on": "true", "1": "true"}.get(str(value).lower())
        right = right or {"no": "false", "off": "false", "0": "false"}.get(str(value).lower())
        hint = f". Write `{right}`" if right else ""
        raise field_error(key, f"should be true or false. Found {format_value(value)}{hint}")


def _is_off(value: Any) -> bool:
    return isinstance(value, str) and value.lower() in _OFF


def _is_numeric(text: str) -> bool:
    """Whether pydantic would take the text as a number, or it has the look of one."""
    try:
        float(text)
    except ValueError:
        return _NUMERIC.fullmatch(text.strip()) is not None
    return True


def _leaves(where: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(f"{where}.{key}", part)
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _leaves(f"{where}[{number}]", part)
    else:
        yield where, value


@cache
def _leaf_types(annotation: Hashable) -> frozenset[Any]:
    """The types of the values in a field: of a mapping those of its values, without its keys."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _leaf_types(args[0])
    if not args:
        return frozenset({annotation})
    if origin is Literal:
        return frozenset({Literal})
    kinds = [_leaf_types(part) for part in (args[1:] if origin is dict else args)]
    return frozenset[Any]().union(*kinds) - {Ellipsis}


@dataclass(frozen=True)
class Named:
    """Marks a field that takes ``name`` or ``{name: ..., settings}`` of a registered method and
    contains that method's settings: ``Annotated[MethodConfig, Named("balancing")]``.

    Args:
        kind: of the method, as in `mtsearch.config.registry.method`.
        optional: whether the field takes None, too.
    """

    kind: str
    optional: bool = False

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._parse)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"x-method": self.kind, "x-optional": self.optional}  # `json_schema` fills it

    def _parse(self, value: Any) -> Any:
        if isinstance(value, Model) or (value is None and self.optional):
            return value
        tag, known = tag_of(self.kind), methods(self.kind)
        off = "none" if "none" in known else "null" if self.optional else None
        # `no` alone may have become a mapping when trees were merged
        word = value.get(tag) if isinstance(value, dict) and len(value) == 1 else value
        if off and (word is None or word is False or _is_off(word)) and word not in known:
            raise ValueError(
                f"should be a name or a mapping with `{tag}`. Found {format_value(word)}. Write"
                f" `{off}` to switch it off"
            )
        if isinstance(value, str):
            value = {tag: value}
        if not isinstance(value, dict):
            found = format_value(value)
            raise ValueError(f"should be a name or a mapping with `{tag}`. Found {found}")
        chosen = value.get(tag)
        if chosen is None:
            raise ValueError(f"should have a `{tag}`. Found none. {nearest('', known)}")
        if not isinstance(chosen, str):
            raise field_error(tag, f"should be a name. Found {format_value(chosen)}")
        chosen = current_name(self.kind, chosen)
        if chosen not in known:
            raise ValueError(f"is unknown: {format_value(chosen)}. {nearest(chosen, known)}")
        return known[chosen].model_validate({**value, tag: chosen})
