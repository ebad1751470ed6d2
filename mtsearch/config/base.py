"""The base of all configuration models, and fields that name a registered method."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from mtsearch.config.errors import format_value, nearest
from mtsearch.config.registry import method, methods, tag_of

__all__ = ["Model", "field_error", "method", "named"]  # plug-ins import `method` from here, too


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
                    raise field_error(key, f"should be a number. Found {format_value(data[key])}")
        return data


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
            raise ValueError(
                f"should be a name or a mapping with `{tag}`. Found {format_value(value)}"
            )
        chosen = value.get(tag)
        known = methods(kind)
        if chosen is None:
            raise ValueError(f"should have a `{tag}`. Found none. {nearest('', known)}")
        if not isinstance(chosen, str):
            raise field_error(tag, f"should be a name. Found {format_value(chosen)}")
        if chosen not in known:
            raise ValueError(f"is unknown: {chosen!r}. {nearest(chosen, known)}")
        return known[chosen].model_validate(value)

    return Annotated[Any, BeforeValidator(parse)]
