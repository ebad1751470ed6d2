"""Validation errors of pydantic as one sentence: where, what is wrong, what was found, the nearest
valid name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from mtsearch.config.errors import BadInput, format_value, nearest

_SHAPES = {
    "int": "should be a whole number",
    "float": "should be a number",
    "finite": "should be a finite number",
    "bool": "should be true or false",
    "string": "should be text",
    "path": "should be a path",
    "tuple": "should be a list",
    "list": "should be a list",
    "model": "should be a mapping of keys to values",
    "dict": "should be a mapping of keys to values",
}
"""What a value should be, by the first word of the type of pydantic's error."""


def validate_tree(
    model: type[BaseModel], tree: Mapping[str, Any], path: str, note: str = ""
) -> Any:
    """The model of a tree.

    Args:
        model: to validate by.
        tree: keys and values.
        path: of the tree, for the error sentence.
        note: the end of the error sentence.

    Raises:
        BadInput: the tree is not valid. The sentence is about the first mistake.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        text = error_sentence(error, tree, path, model)
        raise BadInput(
            f"{text.removesuffix('.')}{note}{'.' if text.endswith('.') else ''}"
        ) from None


def error_sentences(
    error: ValidationError, tree: Any, path: str = "", model: type[BaseModel] | None = None
) -> list[str]:
    """A sentence about each mistake that pydantic found in `tree`, in order; see
    `error_sentence`."""
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for found in error.errors():  # the alternatives of a union make one mistake
        groups.setdefault(tuple(found["loc"][: _place(found, tree)[1]]), []).append(found)
    return [_sentence(errors, tree, path, model) for errors in groups.values()]


def error_sentence(
    error: ValidationError, tree: Any, path: str = "", model: type[BaseModel] | None = None
) -> str:
    """The sentence about the first mistake that pydantic found in `tree`, the value of the key
    `path`, which should be a `model`."""
    return _sentence(error.errors(), tree, path, model)


def _sentence(
    errors: Sequence[Mapping[str, Any]], tree: Any, path: str, model: type[BaseModel] | None
) -> str:
    found, forms = _best(errors, tree)
    where = _joined(path, _place(found, tree)[0])
    kind, message, value = found["type"], found["msg"].removeprefix("Value error, "), found["input"]
    if message.startswith("`."):  # of a key inside, see `field_error`
        key, _, message = message.removeprefix("`.").partition("` ")
        where = _joined(where, [key])
    if message.startswith("unknown key `"):
        key = message.split("`")[1]
        hint = message.split(".", 1)[1]
        return (
            "unknown key"
            f" `{where}.{key}`.{hint.replace('Did you mean `', f'Did you mean `{where}.')}"
            if where
            else message
        )
    if kind == "value_error":  # a sentence of our own validators
        text = message
    elif kind == "missing":
        text = (
            "is missing."
            f" {'The list should be longer' if isinstance(found['loc'][-1], int) else 'Set it'}."
        )
    elif kind == "literal_error":
        names = re.findall(r"'([^']*)'", found["ctx"]["expected"])
        if not names:
            text = f"should be {found['ctx']['expected']}. Found {format_value(value)}"
        elif len(forms) > 1:  # also a number is allowed
            known = " or ".join(f"`{name}`" for name in names)
            text = f"{_wanted(forms[1])} or {known}. Found {format_value(value)}"
        else:
            text = f"is unknown: {format_value(value)}. {nearest(str(value), names)}"
    elif kind in ("too_short", "too_long"):
        bound, count = (
            ("least", found["ctx"]["min_length"])
            if kind == "too_short"
            else ("most", found["ctx"]["max_length"])
        )
        text = (
            f"should contain at {bound} {count} entr{'y' if count == 1 else 'ies'}. Found"
            f" {format_value(value)}"
        )
    elif found["loc"][-1:] == ("[key]",):
        text = f"should have text as its keys. Found {format_value(value)}{quote_hint(value)}"
    else:
        text = (
            f"{' or '.join(dict.fromkeys(map(_wanted, forms))).replace(' or should be', ' or')}."
            f" Found {format_value(value)}"
        )
        if kind in ("string_type", "path_type") and len(forms) == 1:
            text += quote_hint(value)
        if kind == "model_type" and (keys := _keys(model, found["loc"])):
            text += (
                f". Did you mean `{where}.{keys[0]}`?"
                if len(keys) == 1
                else f". {nearest('', [f'{where}.{key}' for key in keys])}"
            )
    return f"`{where}` {text}{'' if text.endswith(('.', '?')) else '.'}" if where else f"{text}."


def quote_hint(value: Any) -> str:
    """What to do where YAML has read a text as a number, true or false. The text itself is lost."""
    return (
        ", which is what YAML makes of it without quotes. Put what you wrote in quotes"
        if isinstance(value, int | float)
        else ""
    )


def _wanted(error: Mapping[str, Any]) -> str:
    shape = _SHAPES.get(error["type"].partition("_")[0]) if _is_shape(error) else None
    return shape or str(error["msg"]).replace("Input should", "should")


def _is_shape(error: Mapping[str, Any]) -> bool:
    kind = str(error["type"])
    return (
        kind.endswith(("_type", "_parsing", "_from_float", "_parsing_size"))
        or kind == "finite_number"
    )


def _keys(model: type[BaseModel] | None, loc: Sequence[str | int]) -> list[str]:
    """The keys of the model that a field at `loc` takes; none where it takes something else."""
    for part in loc:
        field = model.model_fields.get(str(part)) if model is not None else None
        annotation = field.annotation if field is not None else None
        model = (
            annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel)
            else None
        )
    return list(model.model_fields) if model is not None else []


def _best(
    errors: Sequence[Mapping[str, Any]], tree: Any
) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """The first mistake, and the mistakes of the same value that are named with it. Where a value
    fits none of several alternatives, it is the mistake of the alternative that fits best."""
    first = errors[0]
    alternative = _place(first, tree)[1]
    if alternative is None:
        return first, [first]
    same = [error for error in errors if error["loc"][:alternative] == first["loc"][:alternative]]
    best = max(
        same,
        key=lambda error: (
            len(_place(error, tree)[0]) + (error["loc"][-1] == "[key]"),
            not _is_shape(error),
        ),
    )
    if all(len(error["loc"]) == alternative + 1 and _is_shape(error) for error in same):
        return best, same
    numbers = [error for error in same if _is_shape(error) and "float" in error["type"]]
    return best, [best, *(numbers if best["type"] == "literal_error" else ())]


def _place(error: Mapping[str, Any], tree: Any) -> tuple[list[str | int], int | None]:
    """The keys and indices that lead to a mistake in `tree`, without pydantic's names of the
    alternatives of a union; and the index of the first such name in pydantic's path, or None."""
    loc, found, node, alternative = error["loc"], list[str | int](), tree, None
    for number, part in enumerate(loc):
        if isinstance(node, Mapping) and part in node:
            found.append(str(part))
            node = node[part]
        elif isinstance(node, list | tuple) and isinstance(part, int) and part < len(node):
            found.append(part)
            node = node[part]
        elif error["type"] == "missing" and number == len(loc) - 1:
            found.append(part)
        elif part == "[key]":
            found.pop()
        elif alternative is None and isinstance(part, str):
            alternative = number
    return found, alternative


def _joined(path: str, parts: Sequence[str | int]) -> str:
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path
